"""The command line, one command per module. Exit codes: 0 good, 1 found a problem, 2 wrong usage."""
