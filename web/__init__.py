"""HTTP: the Prometheus API, log search and tail, the agents' ingest endpoints, and the console."""
