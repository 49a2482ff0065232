"""The HTTP APIs, one blueprint per subject."""
