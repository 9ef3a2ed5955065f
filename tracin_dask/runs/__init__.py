"""Plan, workers, driver and result: the only room where scoring meets Dask and Zarr."""

TASKS = "tracin_dask.runs.execute.on_dask"
"""The module whose functions tasks call. Workers import it at their start, so that no task waits for it."""
