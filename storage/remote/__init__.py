"""Prometheus remote write 1.0, both ways: samples sent to another store, and taken in from others."""
