"""From text to integer triples to a Zarr store; the only room that writes the store."""
