"""Where bytes lie: reading, atomic writing and listing, for every room."""
