"""Scrapes applications' own Prometheus and OpenMetrics endpoints.

manager (which targets) -> fetch (one selector thread) -> text (parse) -> series (relabel, append).
"""
