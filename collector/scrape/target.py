"""A scrape target: where it is, how it is asked, which labels its series get."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode, urljoin, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from collector.scrape.http import FetchError
from collector.scrape.relabel import RelabelRule, relabel
from configfile.duration import parse_duration
from model.labels import Labels
from promql.text import format_duration

_PORTS: Final = {"http": 80, "https": 443}
_PATH_SAFE: Final = "/%?&=:@!$'()*+,;~[]-._"  # anything else could end the request line
DEFAULT_BODY_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is sent as ``Authorization``; files are read at each scrape, so that they can be renewed."""

    scheme: str = ""
    secret: str = field(default="", repr=False)
    secret_file: str = ""
    username: str = ""

    def header(self) -> str:
        """Return the header's value, "" for none.

        Raises:
            OSError: If a file cannot be read.
        """
        if not self.scheme:
            return ""
        secret = self.secret
        if self.secret_file:
            secret = Path(self.secret_file).read_text(encoding="utf-8").strip()
        if self.scheme == "Basic":
            import base64

            pair = f"{self.username}:{secret}".encode()
            return "Basic " + base64.b64encode(pair).decode("ascii")
        return f"{self.scheme} {secret}"


class Tls(Struct, frozen=True):
    """How a certificate is judged and which one is shown."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    insecure_skip_verify: bool = False


class ScrapeJob(Struct, frozen=True):
    """What the targets of one ``scrape_config`` have in common; words and meaning are Prometheus's.

    Limits of 0 are none.
    """

    job_name: str
    interval_seconds: float = 15.0
    timeout_seconds: float = 10.0
    metrics_path: str = "/metrics"
    scheme: str = "http"
    params: tuple[tuple[str, str], ...] = ()
    honor_labels: bool = False
    honor_timestamps: bool = True
    enable_compression: bool = True
    credentials: Credentials = Credentials()
    tls: Tls = Tls()
    relabel_rules: tuple[RelabelRule, ...] = ()
    metric_relabel_rules: tuple[RelabelRule, ...] = ()
    sample_limit: int = 0
    label_limit: int = 0
    label_name_length_limit: int = 0
    label_value_length_limit: int = 0
    body_size_limit_bytes: int = DEFAULT_BODY_BYTES
    target_limit: int = 0
    follow_redirects: bool = False


class Target(Struct, frozen=True):
    """One endpoint. Two targets with equal ``key`` are the same.

    Attributes:
        job: How it is scraped.
        labels: Put on each of its series (``job``, ``instance`` and what discovery gave).
        discovered: Labels before relabelling, for the targets page.
        scheme: ``http`` or ``https``.
        host: Name or address; without brackets for IPv6.
        port: TCP port.
        path: Path and query.
        interval_seconds: From one scrape to the next.
        timeout_seconds: At most this long for one scrape.
    """

    job: ScrapeJob
    labels: Labels
    discovered: Labels
    scheme: str
    host: str
    port: int
    path: str
    interval_seconds: float
    timeout_seconds: float

    @property
    def key(self) -> tuple[str, Labels, str]:
        """What makes a target that target: its job, labels and URL."""
        return (self.job.job_name, self.labels, self.url)

    def is_scraped_as(self, other: "Target") -> bool:
        """Tell whether a target with the same key is scraped in the same way."""
        ways = ((t.job, t.interval_seconds, t.timeout_seconds) for t in (self, other))
        return next(ways) == next(ways)

    @property
    def address(self) -> str:
        """``host:port`` as HTTP's Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if _PORTS[self.scheme] == self.port else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"{self.scheme}://{self.address}{self.path}"

    @property
    def offset(self) -> float:
        """Where in the interval it is scraped, 0 <= offset < 1; the same at each start."""
        digest = hashlib.md5(repr(self.key).encode(), usedforsecurity=False).digest()
        return int.from_bytes(digest[:6]) / (1 << 48)


def make_target(job: ScrapeJob, found: Mapping[str, str]) -> Target | str | None:
    """Return the target that discovered labels make after relabelling.

    Returns:
        The target; None if relabelling dropped it; a sentence if it cannot be scraped.
    """
    labels = {
        "job": job.job_name,
        "__scheme__": job.scheme,
        "__metrics_path__": job.metrics_path,
        "__scrape_interval__": format_duration(round(job.interval_seconds * 1000)),
        "__scrape_timeout__": format_duration(round(job.timeout_seconds * 1000)),
        **{f"__param_{name}": value for name, value in reversed(job.params)},
        **found,
    }
    discovered = Labels.of(labels)
    left = relabel(labels, job.relabel_rules)
    if left is None:
        return None
    address = left.get("__address__", "")
    if not address:
        return "has no address"
    scheme = left.get("__scheme__", "http")
    if scheme not in _PORTS:
        return f"has the scheme {scheme!r}; http and https are known"
    place = split_address(address, _PORTS[scheme])
    if place is None:
        return f"{address!r} is not a host and port"
    try:
        interval = parse_duration(left.get("__scrape_interval__", "")) / 1000
        timeout = min(parse_duration(left.get("__scrape_timeout__", "")) / 1000, interval)
    except ValueError as error:
        return f"has an interval or timeout that is {error}"
    if timeout <= 0:
        return "has an interval or timeout of 0"
    # the first value of a parameter may be relabelled, further ones stay
    params, seen = [], set()
    for name, value in job.params:
        params.append((name, value if name in seen else left.get(f"__param_{name}", value)))
        seen.add(name)
    params += [
        (name.removeprefix("__param_"), value)
        for name, value in left.items()
        if name.startswith("__param_") and name.removeprefix("__param_") not in seen
    ]
    path = left.get("__metrics_path__", "/metrics")
    path = quote(path if path.startswith("/") else "/" + path, safe=_PATH_SAFE)
    query = urlencode(params)
    final = {name: value for name, value in left.items() if not name.startswith("__")}
    final.setdefault("instance", address)
    return Target(
        job,
        Labels.of(final),
        discovered,
        scheme,
        place[0],
        place[1],
        f"{path}?{query}" if query else path,
        interval,
        timeout,
    )


def make_targets(
    job: ScrapeJob, found: Sequence[Mapping[str, str]]
) -> tuple[list[Target], list[Labels], list[str]]:
    """Return the targets of one job, the discovered labels of dropped ones, and what is wrong with others."""
    targets: dict[tuple[str, Labels, str], Target] = {}
    dropped, problems = [], []
    for labels in found:
        made = make_target(job, labels)
        if made is None:
            dropped.append(Labels.of(labels))
        elif isinstance(made, str):
            problems.append(f"job {job.job_name}: target {made}")
        else:
            targets.setdefault(made.key, made)
    if job.target_limit and len(targets) > job.target_limit:
        problems.append(
            f"job {job.job_name}: {len(targets)} targets, target_limit is {job.target_limit}"
        )
        targets = {}
    return list(targets.values()), dropped, problems


def redirected(target: Target, location: str) -> Target:
    """Return the target as it is asked where a ``Location`` header sends its scrape.

    Raises:
        FetchError: If that is no http or https address.
    """
    try:
        to = urlsplit(urljoin(target.url, location))
    except ValueError:
        to = urlsplit("")
    place = split_address(to.netloc, _PORTS[to.scheme]) if to.scheme in _PORTS else None
    if place is None:
        raise FetchError("redirect", f"it is redirected to {location[:200]!r}, no http or https address")  # fmt: skip
    path = quote(f"{to.path or '/'}?{to.query}" if to.query else to.path or "/", safe=_PATH_SAFE)
    return replace(target, scheme=to.scheme, host=place[0], port=place[1], path=path)


def split_address(address: str, default_port: int) -> tuple[str, int] | None:
    """Return host and port of ``host``, ``host:port`` or ``[v6]:port``; None if it is neither."""
    if address.startswith("["):
        host, closed, rest = address[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else "" if not rest else "x"
        host = host if closed else ""
    else:
        host, _, port = address.partition(":")
    if not host or any(c in host for c in "/ \t\r\n@?#") or not host.isascii():
        return None
    if not port:
        return host, default_port
    if not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65536:
        return None
    return host, int(port)
