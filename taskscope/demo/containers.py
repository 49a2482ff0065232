"""The demo cluster as Docker containers."""

import hashlib
from collections.abc import Callable
from typing import Any, Final

from discovery.docker.client import DockerClient
from model.errors import DiscoveryError
from taskscope.demo import image
from taskscope.demo.cluster import MARK, TASKS, DemoTask

REPOSITORY: Final = "taskscope-demo"
PREFIX: Final = "demo-"
_FILTER: Final = f'{{"label":["{MARK}"]}}'


class ContainerDemo:
    """Starts and stops the demo through one Docker Engine."""

    def __init__(self, client: DockerClient) -> None:
        self._client = client

    def available(self) -> str:
        """Return "" if Docker answers, else why not."""
        try:
            self._client.negotiate()
        except DiscoveryError as error:
            return str(error)
        return ""

    def start(self, say: Callable[[str], None]) -> None:
        """Build the image if it is not there and start every task; those that run are left alone.

        Raises:
            DiscoveryError: If Docker refuses.
            OperatorError: If the image cannot be made.
        """
        name = self._image(say)
        running = {c["Names"][0].removeprefix("/"): c for c in self._containers()}
        for task in TASKS:
            known = running.get(PREFIX + task.name)
            if known is None:
                self._create(task, name)
            self._client.post(f"/containers/{PREFIX + task.name}/start")
            say(f"{task.name}: {task.what}")

    def stop(self, say: Callable[[str], None]) -> int:
        """Remove every container and image of the demo, also of an earlier version; returns how many containers."""
        found = self._containers()
        for container in found:
            self._client.delete(f"/containers/{container['Id']}", {"force": "1", "v": "1"})
            say(f"{container['Names'][0].removeprefix('/').removeprefix(PREFIX)}: removed")
        for one in self._client.get(
            "/images/json", {"filters": f'{{"reference":["{REPOSITORY}"]}}'}
        ):
            self._client.delete(f"/images/{one['Id']}", {"force": "1"})
        return len(found)

    def _containers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.get(
            "/containers/json", {"all": "1", "filters": _FILTER}
        )
        return found

    def _image(self, say: Callable[[str], None]) -> str:
        content = image.build()
        name = f"{REPOSITORY}:{hashlib.sha256(image.program()).hexdigest()[:12]}"
        known = self._client.get("/images/json", {"filters": f'{{"reference":["{name}"]}}'})
        if not known:
            say(
                f"making the image {name} from this Python ({len(content) >> 20} MiB, no registry needed)"
            )
            repository, tag = name.split(":")
            self._client.upload(
                "/images/create", content, {"fromSrc": "-", "repo": repository, "tag": tag}
            )
        return name

    def _create(self, task: DemoTask, image_name: str) -> None:
        body = {
            "Image": image_name,
            "Cmd": [
                image.interpreter(),
                "-S",
                "-E",
                image.PROGRAM,
                *task.command(8080 if task.port else 0),
            ],
            "Labels": task.labels(8080 if task.port else 0),
            "HostConfig": {
                "RestartPolicy": {"Name": "always" if task.restart else "no"},
                "Memory": task.memory_bytes,
                "MemorySwap": task.memory_bytes,
                "NanoCpus": int(task.cpus * 1e9),
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
            },
        }
        self._client.post("/containers/create", body, {"name": PREFIX + task.name})
