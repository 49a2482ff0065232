"""The embedded log store: a WAL, a recent part in memory, Parquet segments under a manifest, DuckDB to search them."""
