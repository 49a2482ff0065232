"""Probes of tasks and a pure state machine over their results."""
