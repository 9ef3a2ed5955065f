"""Plan, workers, driver and result: the only room where scoring meets Dask and Zarr."""
