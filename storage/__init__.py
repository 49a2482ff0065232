"""Stores for series and logs. All other packages know only ``storage.interface``."""
