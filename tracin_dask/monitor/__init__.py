"""Monitoring of a run: a page on the Dask dashboard, Prometheus metrics, structured events."""
