"""One server for a laptop, a box, Docker: `python -m hosts.box`."""
