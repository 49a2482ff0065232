"""Metrics made of log lines."""
