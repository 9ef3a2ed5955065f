"""Object stores as places: `s3://`, `gs://` and `az://`, all through obstore."""
