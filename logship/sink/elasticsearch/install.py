"""Brings the templates, and the lifecycle policy where there is one, to the server; what is there already is left alone."""

from typing import TYPE_CHECKING, Any

from logship.sink.elasticsearch import template
from logship.sink.elasticsearch.client import ask
from logship.sink.elasticsearch.retention import Retention
from logship.sink.elasticsearch.server import CUSTOM_TEMPLATES, Server, look
from model.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elasticsearch import Elasticsearch


class Installer:
    """Installs for one sink.

    Args:
        name: Of the templates; the component is ``<name>@mappings``, operators may make ``<name>@custom``.
        retention: How long records are kept.
        fields: Declared fields, see ``template.properties``.
    """

    def __init__(self, name: str, retention: Retention, fields: "Mapping[str, str]") -> None:
        self._name = name
        self._retention = retention
        self._fields = fields

    def install(self, client: "Elasticsearch", datasets: list[str]) -> Server:
        """Install what the data streams of these datasets need, and return what the server can.

        Raises:
            DeliveryError: If the login may not; not retryable.
            Exception: What the client raises.
        """
        from elasticsearch import AuthorizationException

        try:
            server = look(client, self._fields)
            for path, body in self._wanted(server, datasets):
                _put(client, path, body)
            return server
        except AuthorizationException as error:
            raise DeliveryError(
                "the login of Elasticsearch may not manage index templates: give it manage_index_templates (and manage_ilm), "
                "or let somebody else install them and set install_templates: false",
                retryable=False,
            ) from error  # fmt: skip

    def _wanted(self, server: Server, datasets: list[str]) -> list[tuple[str, dict[str, Any]]]:
        component, custom = f"{self._name}@mappings", f"{self._name}@custom"
        wanted: list[tuple[str, dict[str, Any]]] = []
        settings: dict[str, Any] = {}
        if server.lifecycle == "policy":
            policy = self._retention.policy()
            policy["_meta"] = {"managed_by": "taskscope", "digest": template.digest(policy)}
            wanted.append((f"/_ilm/policy/{self._name}", {"policy": policy}))
            settings["lifecycle.name"] = self._name
        body = template.component(
            component, lacks=server.lacks, fields=self._fields, analysis=server.analysis, settings=settings,
            lifecycle=self._retention.lifecycle() if server.lifecycle == "data stream" else None,
        )  # fmt: skip
        wanted.append((f"/_component_template/{component}", body))
        for dataset in datasets:
            body = template.index_template(
                component, [f"logs-{dataset}-*"], dataset=dataset, lacks=server.lacks,
                custom=custom if server.since(CUSTOM_TEMPLATES) else "",
            )  # fmt: skip
            wanted.append((f"/_index_template/{self._name}-{dataset}", body))
        return wanted


def _put(client: "Elasticsearch", path: str, body: dict[str, Any]) -> None:
    """Put what is not there, or is an older one; a newer Taskscope's is left alone."""
    version, meta = _installed(client, path)
    inner = body.get("policy", body)
    if version > template.VERSION and meta.get("managed_by") == "taskscope":
        return
    if meta.get("digest") != inner["_meta"]["digest"]:
        ask(client, "PUT", path, body)


def _installed(client: "Elasticsearch", path: str) -> tuple[int, dict[str, Any]]:
    """Return version and ``_meta`` of what has this name on the server."""
    from elasticsearch import NotFoundError

    try:
        found = ask(client, "GET", path)
    except NotFoundError:
        return 0, {}
    inside: dict[str, Any] = {}
    for kind in ("component_template", "index_template"):
        for one in found.get(f"{kind}s", []):
            inside = one[kind]
    policy = found.get(path.rpartition("/")[2], {})
    if isinstance(policy, dict) and "policy" in policy:
        return 0, policy["policy"].get("_meta", {})
    return int(inside.get("version", 0)), inside.get("_meta", {})
