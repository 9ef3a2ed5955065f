"""From a finished result to what people read: tables and files. No Dask, no model."""
