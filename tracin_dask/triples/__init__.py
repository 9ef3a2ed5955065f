"""Text files of triples, id maps, and the Zarr store of integer triples, which no other package writes."""
