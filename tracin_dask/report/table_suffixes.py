"""The suffixes of files that hold one table."""

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".json")
