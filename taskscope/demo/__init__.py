"""A small sample cluster of real tasks, to see Taskscope at work and to test it end to end."""
