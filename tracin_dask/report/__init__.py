"""The result of a run as a value, and all its forms: files, tables, what the terminal shows. No Dask, no model."""
