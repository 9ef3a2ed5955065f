"""Small runs of `tracin-dask run` whose influences must not change, and the hashes of their results."""
