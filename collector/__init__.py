"""The agent side of metrics: cgroups, the node, applications' endpoints, all as columns into an Appender."""
