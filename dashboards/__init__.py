"""Grafana dashboards as Python functions: written with grafanalib, mended for today's Grafana, checked before they leave.

``registry.py`` lists them, ``build.py`` writes them, ``check.py`` judges them.
"""
