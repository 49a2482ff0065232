"""What the demo's tasks run: one file, standard library only, the role as first argument.

It is copied into the demo's image and must not import anything of Taskscope.
"""

import json
import os
import random
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import ClassVar

PRODUCTS = ("espresso cup", "garden hose", "desk lamp", "wool socks", "chess clock")


def say(text: str) -> None:
    """Write one line at once; stdout may be a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def log_json(level: str, message: str, **fields: object) -> None:
    """Write one JSON log line."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
    say(json.dumps({"timestamp": stamp, "level": level, "message": message, **fields}))


class Shop(BaseHTTPRequestHandler):
    """The shop's HTTP side: ``/metrics``, ``/healthz`` and products."""

    counts: ClassVar[dict[tuple[str, int], tuple[int, float]]] = {}
    lock = Lock()
    sick_after = float("inf")
    started = time.monotonic()

    def do_GET(self) -> None:
        """Answer one request and count it."""
        begun = time.perf_counter()
        if self.path == "/healthz":
            sick = time.monotonic() - self.started > self.sick_after
            status, body = (503, "database pool exhausted\n") if sick else (200, "ok\n")
        elif self.path == "/metrics":
            status, body = 200, self.exposition()
        else:
            status, body = (200, "ok\n") if random.random() > 0.02 else (500, "out of stock\n")
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        with self.lock:
            key = (self.path.split("?")[0], status)
            count, seconds = self.counts.get(key, (0, 0.0))
            self.counts[key] = (count + 1, seconds + time.perf_counter() - begun)

    def exposition(self) -> str:
        """Write the counts as Prometheus reads them."""
        lines = [
            "# HELP http_requests_total Requests by path and status.",
            "# TYPE http_requests_total counter",
        ]
        with self.lock:
            counts = dict(self.counts)
        lines += [
            f'http_requests_total{{path="{p}",code="{c}"}} {n}' for (p, c), (n, _) in counts.items()
        ]
        lines += [
            "# HELP http_request_seconds_total Time spent in requests.",
            "# TYPE http_request_seconds_total counter",
        ]
        lines += [
            f'http_request_seconds_total{{path="{p}",code="{c}"}} {s!r}'
            for (p, c), (_, s) in counts.items()
        ]
        return "\n".join(lines) + "\n"

    def log_message(self, form: str, *args: object) -> None:
        """Log as JSON; the prober's and the scraper's own requests would drown the rest."""
        if self.path not in ("/healthz", "/metrics"):
            level = "error" if str(args[1]).startswith("5") else "info"
            log_json(
                level,
                f"{self.command} {self.path} {args[1]}",
                path=self.path,
                status=int(str(args[1])),
                service="shop",
                trace_id=f"{random.getrandbits(128):032x}",
            )


def shop(port: int, sick_after: float) -> None:
    """Serve, and be one's own customer."""
    import urllib.request

    Shop.sick_after = sick_after
    server = ThreadingHTTPServer(("0.0.0.0", port), Shop)
    Thread(target=server.serve_forever, daemon=True).start()
    log_json("info", f"shop listens on port {port}", port=port, service="shop")
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while not stop.wait(random.uniform(0.2, 1.5)):
        path = f"/products/{random.randrange(len(PRODUCTS))}"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).read()
        except OSError:
            log_json("warn", "a customer left without answer", path=path, service="shop")
    log_json("info", "shop closes", service="shop")


def worker() -> None:
    """Pack orders; logfmt."""
    order = 1000
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while not stop.wait(random.uniform(0.3, 1.2)):
        order += 1
        took = random.expovariate(10)
        level = "warn" if took > 0.3 else "info"
        product = random.choice(PRODUCTS)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        say(
            f'ts={stamp} level={level} msg="order packed" order={order} product="{product}" duration={took:.3f}s'
        )
        sum(i * i for i in range(60_000))


def load_report(month: str) -> int:
    """Fail as real jobs do: two errors deep."""
    try:
        return {"2026-10": 1}[month]
    except KeyError as error:
        raise RuntimeError(f"no report for {month}") from error


def job() -> None:
    """Work a little, then die of an exception; the exit code is 1."""
    say("INFO starting the monthly report")
    time.sleep(float(os.environ.get("DEMO_JOB_SECONDS", "12")))
    say("INFO collecting rows")
    load_report("2026-11")


def chatty() -> None:
    """Write about two hundred lines a second."""
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    number = 0
    while not stop.wait(0.1):
        for _ in range(20):
            number += 1
            say(
                f"{time.strftime('%Y-%m-%d %H:%M:%S')} DEBUG cache lookup number={number} hit={random.random() > 0.3}"
            )


def leaky() -> None:
    """Keep everything; the kernel ends it."""
    kept: list[bytes] = []
    while True:
        kept.append(os.urandom(1 << 20) * 2)
        if len(kept) % 5 == 0:
            log_json(
                "info" if len(kept) < 20 else "warn",
                f"cache holds {len(kept) * 2} MiB",
                entries=len(kept),
                service="leaky",
            )
        time.sleep(0.4)


def main() -> None:
    """Run the role named on the command line."""
    role, *args = sys.argv[1:]
    if role == "shop":
        shop(int(args[0]), float(args[1]) if len(args) > 1 else float("inf"))
    else:
        {"worker": worker, "job": job, "chatty": chatty, "leaky": leaky}[role]()


if __name__ == "__main__":
    main()
