"""Containers of a Docker Engine as tasks, through its API on the unix socket."""
