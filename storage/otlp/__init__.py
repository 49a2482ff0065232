"""OpenTelemetry metrics in: OTLP requests, protobuf or JSON, become series as Prometheus translates them."""
