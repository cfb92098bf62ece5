"""Easel: a Stable Diffusion web UI in the style of AUTOMATIC1111."""

__version__ = "0.1.0"
