"""Who may talk to the server: Host on every request, Origin on every write, headers on every answer.

A page on another site can make a browser send requests here. It cannot be stopped from sending
them, but the browser names the site: a Host that is not ours means a name was rebound to the
loopback address; an Origin or Sec-Fetch-Site that is not ours means somebody else's page asks.
Programs (curl, Prometheus, agents) send neither Origin nor Sec-Fetch-Site and are let through.
"""

from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

from flask import Flask, Request, Response, request

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# POST here only carries a query that is too long for a URL; nothing changes.
READ_ONLY_POSTS: Final = frozenset(
    f"/api/v1/{name}"
    for name in (
        "query",
        "query_range",
        "query_exemplars",
        "series",
        "labels",
        "format_query",
        "parse_query",
    )
)
# Each answer of these holds a thread for as long as it lasts.
STREAMS: Final = frozenset({"/api/logs/tail", "/api/logs/export"})
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def install(app: Flask, allowed_hosts: Iterable[str], on_refusal: Callable[[str], None]) -> None:
    """Put the guard in front of every endpoint of an app.

    Args:
        app: The app.
        allowed_hosts: Further names (``name`` at any port, or ``name:port``).
        on_refusal: Told the reason of each refusal: host, origin or fetch_site.
    """
    allowed = hosts(allowed_hosts)

    def check() -> Response | None:
        refusal = refuse(request, allowed)
        if refusal is None:
            return None
        status, reason, message = refusal
        on_refusal(reason)
        return Response(message + "\n", status=status, content_type="text/plain; charset=utf-8")

    def add_headers(response: Response) -> Response:
        response.headers.extend(HEADERS)
        return response

    app.before_request(check)
    app.after_request(add_headers)


def refuse(asked: Request, allowed: frozenset[str]) -> tuple[int, str, str] | None:
    """Return status, reason and sentence if a request is to be refused, None if it may pass."""
    host = asked.headers.get("Host", "")
    if not host_is_ours(host, asked.environ.get("SERVER_PORT", ""), allowed):
        return (
            421,
            "host",
            (
                f"The Host header {host[:200]!r} is not a name of this server; open it as "
                "http://127.0.0.1 with its port, or list the name under web.allowed_hosts."
            ),
        )
    site = asked.headers.get("Sec-Fetch-Site", "")
    reading = asked.method in SAFE_METHODS or asked.path in READ_ONLY_POSTS
    if reading and asked.path not in STREAMS:
        navigation = asked.method == "GET" and asked.headers.get("Sec-Fetch-Mode") == "navigate"
        if site == "cross-site" and not navigation:
            return 403, "fetch_site", "Another site's page asked for this; it is refused."
        return None
    if site not in ("", "same-origin", "none"):
        return 403, "fetch_site", "Only Taskscope's own pages may ask for this in a browser."
    origin = asked.headers.get("Origin")
    if origin is not None and not _same_origin(origin, host):
        return (
            403,
            "origin",
            f"The Origin {origin[:200]!r} is not this server; the request is refused.",
        )
    return None


def hosts(names: Iterable[str]) -> frozenset[str]:
    """Return allowed names in the form that ``host_is_ours`` compares with."""
    return frozenset(name.lower() for name in names)


def host_is_ours(host: str, port: str, allowed: frozenset[str]) -> bool:
    """Tell whether a Host header names this server: a loopback name with our port, or an allowed one."""
    host = host.lower()
    name, asked_port = _split(host)
    if name in LOOPBACK_HOSTS:
        return (asked_port or "80") == port
    return host in allowed or (name != "" and name in allowed)


def _split(host: str) -> tuple[str, str]:
    if host.startswith("["):
        name, bracket, rest = host.partition("]")
        return name + bracket, rest.removeprefix(":")
    name, _, port = host.partition(":")
    return name, port


def _same_origin(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()
