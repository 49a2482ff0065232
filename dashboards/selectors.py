"""What all dashboards share: which series are meant, and where a series leads to."""

from typing import Final

from dashboards.grafana import Link, Variable

# Label matchers for the variables below.
HOSTS: Final = 'cluster=~"$cluster", host=~"$host"'
APPS: Final = 'cluster=~"$cluster", host=~"$host", app=~"$app"'
TASKS: Final = 'cluster=~"$cluster", app=~"$app", task_name=~"$task"'

# The same in the language of log queries; /${name:regex}/ holds for one value, several, and all.
LOGS_OF_APPS: Final = "cluster:/${cluster:regex}/ host:/${host:regex}/ app:/${app:regex}/"
LOGS_OF_TASKS: Final = "cluster:/${cluster:regex}/ app:/${app:regex}/ task_name:/${task:regex}/"

CLUSTER: Final = Variable("cluster", "Cluster", "label_values(task_info, cluster)")
HOST: Final = Variable("host", "Host", 'label_values(task_info{cluster=~"$cluster"}, host)')
APP: Final = Variable(
    "app", "App", 'label_values(task_info{cluster=~"$cluster", host=~"$host"}, app)'
)
ONE_APP: Final = Variable(
    "app", "App", 'label_values(task_info{cluster=~"$cluster"}, app)', several=False
)
TASK: Final = Variable(
    "task", "Task", 'label_values(task_info{cluster=~"$cluster", app=~"$app"}, task_name)'
)

_TASK_URL: Final = (
    "/d/taskscope-task?${datasource:queryparam}&${logs:queryparam}&${cluster:queryparam}"
    "&var-app=${__field.labels.app}&var-task=${__field.labels.task_name}&${__url_time_range}"
)
TO_TASK: Final = Link("The task: graphs, health and logs", _TASK_URL)
TO_TASK_OF_ROW: Final = Link(
    "The task: graphs, health and logs",
    _TASK_URL.replace("__field.labels", "__data.fields"),
)
TO_APP: Final = Link(
    "The app's tasks: graphs, health and logs",
    "/d/taskscope-task?${datasource:queryparam}&${logs:queryparam}&${cluster:queryparam}"
    "&var-app=${__field.labels.app}&${__url_time_range}",
)
