"""A slow, obvious evaluator of PromQL on floats: one series and one step at a time."""
