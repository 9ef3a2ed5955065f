"""Plan, workers, driver and result: the only room where scoring meets Dask and Zarr."""

TASKS = "tracin_dask.runs.execute.on_dask"
"""The module of what tasks call: workers import it while they start."""
