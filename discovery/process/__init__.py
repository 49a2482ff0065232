"""Plain processes as tasks: their supervisor and what finds them again."""
