"""Ways to probe a task; each gives an ``Outcome`` within its time, whatever the far side does."""
