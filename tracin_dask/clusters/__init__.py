"""From a cluster specification to an open Dask client. Knows nothing of influence."""
