"""YAML files that operators write, judged whole: every problem at once, each with line and column."""
