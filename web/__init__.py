"""The HTTP side: Prometheus's API, logs, ingest and the console."""
