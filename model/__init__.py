"""The words every other package shares: tasks, labels, samples, log lines, health, alerts.

Nothing here does I/O or reads a clock; the standard library and numpy are the only imports.
"""
