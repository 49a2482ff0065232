"""Metrics of the host under node_exporter's names, read from /proc and /sys."""
