"""What is left out of the logs of tasks that write too much, counted to the line."""
