"""Rules to alerts to notifications.

The way of an alert: ``rule_file`` (what the operator wrote) → ``group`` (when and in which order)
→ ``alerting_rule`` (the state machine) → ``dispatch`` (grouping and timing) → ``notify`` (one
queue per receiver, retry, what was said before) → ``receiver``.
"""
