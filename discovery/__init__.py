"""Which tasks run on this host: Docker's containers and Taskscope's own processes."""
