"""Models of PyKEEN. Needs the extra `pykeen`."""
