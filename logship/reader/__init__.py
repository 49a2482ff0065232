"""Reading log records back from where they were shipped to."""
