"""OTLP logs over HTTP (opentelemetry.io/docs/specs/otlp, opentelemetry/proto/logs/v1)."""
