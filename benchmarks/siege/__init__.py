"""The server under siege; `python -m benchmarks.siege`."""
