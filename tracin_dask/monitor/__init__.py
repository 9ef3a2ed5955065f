"""What is seen of a run from outside: a page on the Dask dashboard, Prometheus metrics, structured events."""
