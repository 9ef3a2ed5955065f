"""Runs `tracin-dask validate` on several graphs, and puts what it found side by side."""
