"""What `tracin-dask report` writes of a result: files for readers and other programs, which are not read back."""
