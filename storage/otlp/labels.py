"""From attributes to labels: a resource becomes ``job``, ``instance``, the task's identity and ``target_info``."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from msgspec import Struct

from model.identity import RESOURCE_ATTRIBUTES, labels_of_resource
from model.labels import Labels
from model.samples import Exemplar
from storage.otlp.names import label_name

_NAMESPACE, _SERVICE, _INSTANCE = (
    RESOURCE_ATTRIBUTES[name] for name in ("namespace", "app", "task_id")
)
_MAX_EXEMPLAR_RUNES: Final = 128  # as OpenMetrics


class Resource(Struct, frozen=True):
    """What all series of a resource have in common.

    Attributes:
        labels: Set where a point does not set them itself.
        fixed: Job and instance, which always hold.
        info: The labels of ``target_info``; None where there is nothing to say, or nobody to say it of.
    """

    labels: Mapping[str, str]
    fixed: Mapping[str, str]
    info: Labels | None


def resource_of(attributes: Sequence[dict[str, Any]]) -> Resource:
    """Return what a resource's attributes say."""
    texts = {one.get("key", ""): text_of(one.get("value")) for one in attributes}
    service = texts.get(_SERVICE, "")
    namespace = texts.get(_NAMESPACE, "")
    job = f"{namespace}/{service}" if namespace and service else service
    pairs = {"job": job, "instance": texts.get(_INSTANCE, "")}
    fixed = {name: value for name, value in pairs.items() if value}
    rest = [one for one in attributes if one.get("key") not in (_NAMESPACE, _SERVICE, _INSTANCE)]
    identity = labels_of_resource(texts)
    info = None
    if rest and fixed:
        info = Labels.of({**identity, **labels_of(rest), **fixed, "__name__": "target_info"})
    return Resource(identity, fixed, info)


def labels_of(attributes: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return labels; values of attributes whose names become the same are joined by ``;``."""
    found: dict[str, str] = {}
    for one in sorted(attributes, key=lambda pair: str(pair.get("key", ""))):
        name = label_name(one.get("key", ""))
        value = text_of(one.get("value"))
        if name and name != "__name__":
            found[name] = f"{found[name]};{value}" if found.get(name) else value
    return found


def text_of(value: dict[str, Any] | None) -> str:
    """Return an AnyValue as text."""
    plain = plain_of(value)
    if isinstance(plain, str):
        return plain
    if plain is None:
        return ""
    return orjson.dumps(plain).decode()


def plain_of(value: dict[str, Any] | None) -> Any:
    """Return an AnyValue as what JSON knows."""
    if not value:
        return None
    if "array_value" in value:
        return [plain_of(one) for one in value["array_value"].get("values", ())]
    if "kvlist_value" in value:
        pairs = value["kvlist_value"].get("values", ())
        return {one.get("key", ""): plain_of(one.get("value")) for one in pairs}
    if "bytes_value" in value:
        import base64

        return base64.b64encode(value["bytes_value"]).decode()
    return next(iter(value.values()))


def exemplar_of(data: dict[str, Any]) -> Exemplar:
    """Return an exemplar; attributes are left out where they would make it too long."""
    ids = {name: data[name] for name in ("trace_id", "span_id") if data.get(name)}
    pairs = {
        one.get("key", ""): text_of(one.get("value")) for one in data.get("filtered_attributes", ())
    }
    if sum(len(n) + len(v) for n, v in (pairs | ids).items()) > _MAX_EXEMPLAR_RUNES:
        pairs = {}
    value = data.get("as_double", data.get("as_int", 0))
    return Exemplar(
        Labels.of(pairs | ids), float(value), data.get("time_unix_nano", 0) // 1_000_000
    )
