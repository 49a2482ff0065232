"""Who a container is: from Taskscope's own labels, Compose, Swarm, or its name; see docs/specs/identity.md."""

import re
from collections.abc import Mapping
from typing import Final

from model import task_labels
from model.task import ContainerID, TaskID, TaskIdentity

# what Compose and people put behind a name to tell replicas apart: shop-1, shop_2
_REPLICA: Final = re.compile(r"[-_]\d{1,4}$")


def container_identity(
    container_id: str,
    name: str,
    image: str,
    labels: Mapping[str, str],
    *,
    cluster: str,
    host: str,
) -> TaskIdentity:
    """Return the identity; labels win over what Compose and Swarm say, those over the name."""
    return TaskIdentity(
        cluster=labels.get(task_labels.CLUSTER) or cluster,
        host=host,
        framework="docker",
        namespace=_first(
            labels,
            task_labels.NAMESPACE,
            task_labels.COMPOSE_PROJECT,
            task_labels.SWARM_NAMESPACE,
        )
        or "default",
        app=_first(labels, task_labels.APP, task_labels.COMPOSE_SERVICE, task_labels.SWARM_SERVICE)
        or app_of_name(name),
        task_name=labels.get(task_labels.TASK_NAME) or name,
        task_id=TaskID(container_id),
        container_id=ContainerID(container_id),
        container_name=name,
        image=image,
    )


def app_of_name(name: str) -> str:
    """Return a container's name without its replica number; the whole name if nothing else is left."""
    return _REPLICA.sub("", name) or name


def _first(labels: Mapping[str, str], *names: str) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")
