"""``/metrics``: the series of all sources and our own registry in Prometheus's text format."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector as RegistryCollector

from model.catalog import CATALOG
from model.clock import Clock, now_ms
from model.labels import METRIC_NAME
from model.samples import SeriesSource, is_no_sample, is_stale

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SUFFIX: Final = {"counter": "_total", "info": "_info"}


class SeriesCollector(RegistryCollector):
    """Shows sources of series to prometheus-client; everything is built when it is asked for.

    Nothing is remembered between two scrapes, so what is gone is gone from the next one.
    """

    def __init__(self, sources: Iterable[SeriesSource], clock: Clock) -> None:
        self._sources = tuple(sources)
        self._clock = clock

    def collect(self) -> Iterator[Family]:
        """Yield one family per metric name, each series once."""
        at_ms = now_ms(self._clock)
        families: dict[str, Family] = {}
        seen = set()
        for source in self._sources:
            for block in source.collect(at_ms):
                absent = is_no_sample(block.values) | is_stale(block.values)
                rows = zip(block.labels, block.values.tolist(), absent.tolist(), strict=True)
                for labels, value, skip in rows:
                    if skip or labels in seen:
                        continue
                    seen.add(labels)
                    pairs = labels.asdict()
                    name = pairs.pop(METRIC_NAME)
                    family = families.get(name)
                    if family is None:
                        family = families[name] = _family(name)
                    family.add_sample(name, pairs, value)
        yield from families.values()


def _family(name: str) -> Family:
    """Make the family of a metric with the catalog's help and type.

    prometheus-client names families without the suffix of their type and puts it back; a counter
    whose borrowed name has none (``container_memory_failcnt``) can only be untyped there.
    """
    metric = CATALOG.get(name)
    if metric is None:
        return Family(name, "", "unknown")
    suffix = _SUFFIX.get(metric.type, "")
    if not name.endswith(suffix):
        return Family(name, metric.help, "unknown")
    return Family(name.removesuffix(suffix), metric.help, metric.type)


def exposition(
    sources: Mapping[str, SeriesSource], registry: CollectorRegistry, clock: Clock
) -> bytes:
    """Return the series of all sources now and those of the registry, as text (CONTENT_TYPE)."""
    ours = CollectorRegistry(auto_describe=False)
    ours.register(SeriesCollector(sources.values(), clock))
    return generate_latest(ours) + generate_latest(registry)
