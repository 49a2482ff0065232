"""Readers of one container's cgroup, version 1 and 2, giving the same figures under cAdvisor's definitions."""
