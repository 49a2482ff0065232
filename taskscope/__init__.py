"""The composition root: configuration, wiring, life cycle, command line. Only this package reads the wall clock and the environment."""
