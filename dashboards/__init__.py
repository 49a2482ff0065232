"""Grafana dashboards as Python, built on grafanalib behind a layer that mends its output."""
