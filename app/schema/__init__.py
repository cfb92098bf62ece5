"""What travels: requests, controls, choices, infotext, events, settings and errors, in pure Python."""
