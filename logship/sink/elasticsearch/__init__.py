"""The Elasticsearch sink: data streams, bulk ``create``, per-item status."""
