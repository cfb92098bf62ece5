"""The specification: mirrors app/, runs on a CPU without a network."""
