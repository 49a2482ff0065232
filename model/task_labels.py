"""The container labels Taskscope reads; docs/specs/identity.md describes each for users.

Labels may declare checks inside that container and probes of that task's own address, never a
command on the host. Anything not named here is ignored unless the operator's allow-list has it.
"""

from typing import Final

CLUSTER: Final = "taskscope.cluster"
NAMESPACE: Final = "taskscope.namespace"
APP: Final = "taskscope.app"
TASK_NAME: Final = "taskscope.task_name"
IGNORE: Final = "taskscope.ignore"  # "true": the task is not observed at all

HEALTH_PREFIX: Final = "taskscope.health."
# taskscope.health.{type=http|https|tcp|command, path, port, command, delay_seconds,
# grace_period_seconds, interval_seconds, timeout_seconds, max_consecutive_failures,
# success_threshold, status, body_regex, kind=liveness|readiness}; a second check is
# taskscope.health.<name>.type and so on.

SCRAPE_PREFIX: Final = "taskscope.scrape."
# taskscope.scrape.{enabled, port, path, scheme, interval_seconds, timeout_seconds, job}
PROMETHEUS_SCRAPE: Final = "prometheus.io/scrape"
PROMETHEUS_PORT: Final = "prometheus.io/port"
PROMETHEUS_PATH: Final = "prometheus.io/path"
PROMETHEUS_SCHEME: Final = "prometheus.io/scheme"

LOGS_PREFIX: Final = "taskscope.logs."
# taskscope.logs.{enabled, format=auto|json|logfmt|access|klog|pattern|plain, multiline=auto|off, dataset}

# Where the identity comes from when the labels above are absent, first match wins.
COMPOSE_PROJECT: Final = "com.docker.compose.project"  # -> namespace
COMPOSE_SERVICE: Final = "com.docker.compose.service"  # -> app
SWARM_NAMESPACE: Final = "com.docker.stack.namespace"  # -> namespace
SWARM_SERVICE: Final = "com.docker.swarm.service.name"  # -> app
