"""Which files hold the lines of which task, and reading them through rotation, removal and restarts."""
