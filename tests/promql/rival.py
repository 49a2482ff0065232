"""A real Prometheus that the engine is compared with, and what counts as the same answer."""

import http.client
import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.promql.served import Http
from tests.web.peers import find_program, free_port

FEATURES = (
    "promql-experimental-functions",
    "promql-delayed-name-removal",
    "promql-binop-fill-modifiers",
    "promql-unquoted-utf8-names",
    "st-storage",
    "use-start-timestamps",
)
CONFIG = "storage:\n  tsdb:\n    out_of_order_time_window: 60y\n"
TOLERANCE = 1e-9
READY_SECONDS = 60


class Prometheus(Http):
    """Prometheus with everything experimental on; empty after ``fresh``."""

    def __init__(self) -> None:
        self.ready_seconds: list[float] = []
        self._program = find_program("prometheus")
        self._folder = Path(tempfile.mkdtemp(prefix="rival-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: http.client.HTTPConnection | None = None

    def fresh(self) -> None:
        self._end()
        self._folder.mkdir()
        config, port = self._folder / "prometheus.yml", free_port()
        config.write_text(CONFIG)
        command = [
            self._program,
            f"--config.file={config}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-remote-write-receiver",
            "--log.level=error",
            f"--enable-feature={','.join(FEATURES)}",
        ]
        began = time.monotonic()
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        while not _is_ready(port):
            if self._process.poll() is not None or time.monotonic() > began + READY_SECONDS:
                raise RuntimeError((self._folder / "log").read_text(errors="replace"))
            time.sleep(0.02)
        self.ready_seconds.append(time.monotonic() - began)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def send(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        assert self._connection is not None, "the server has not been started"
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def stop(self) -> None:
        self._end()


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


Answer = tuple[int, Any]


def difference(theirs: Answer, ours: Answer, *, ordered: bool = False) -> str:
    """Say how two answers to one query differ; "" if they do not."""
    (their_status, want), (our_status, got) = theirs, ours
    if want["status"] != got["status"]:
        return f"theirs {_short(want)}; ours {_short(got)}"
    if want["status"] == "error":
        same = (their_status, want["errorType"], want["error"])
        found = (our_status, got["errorType"], got["error"])
        return "" if same == found else f"theirs {same}; ours {found}"
    for key in ("warnings", "infos"):
        one, other = sorted(want.get(key, ())), sorted(got.get(key, ()))
        if one != other and not any("omitted" in text for text in one):
            return f"{key}: theirs {one}; ours {other}"
    return _data_difference(want["data"], got["data"], ordered)


def _short(body: Any) -> str:
    return str(body.get("error", body.get("data")))[:300]


def _data_difference(want: Any, got: Any, ordered: bool) -> str:
    if want["resultType"] != got["resultType"]:
        return f"theirs is a {want['resultType']}, ours a {got['resultType']}"
    if want["resultType"] == "string":
        return "" if want["result"] == got["result"] else f"theirs {want}; ours {got}"
    if want["resultType"] == "scalar":
        same = _same_point(want["result"], got["result"])
        return "" if same else f"theirs {want['result']}; ours {got['result']}"
    if ordered and [s["metric"] for s in want["result"]] != [s["metric"] for s in got["result"]]:
        return f"order: theirs {_names(want)}; ours {_names(got)}"
    theirs, ours = sorted(want["result"], key=_key), sorted(got["result"], key=_key)
    if [_key(s) for s in theirs] != [_key(s) for s in ours]:
        return f"series: theirs {str(theirs)[:400]}; ours {str(ours)[:400]}"
    for one, other in zip(theirs, ours, strict=True):
        for kind in ("value", "values", "histogram", "histograms"):
            if not _same_points(one.get(kind), other.get(kind), kind):
                return f"{one['metric']}: theirs {one.get(kind)}; ours {other.get(kind)}"
    return ""


def _names(data: Any) -> list[Any]:
    return [(s["metric"], s.get("value", "")) for s in data["result"]]


def _key(series: Any) -> list[tuple[str, str]]:
    return sorted(series["metric"].items())


def _same_points(want: Any, got: Any, kind: str) -> bool:
    if want is None or got is None:
        return want is None and got is None
    if not kind.endswith("s"):
        return _same_point(want, got)
    return len(want) == len(got) and all(map(_same_point, want, got))


def _same_point(want: Sequence[Any], got: Sequence[Any]) -> bool:
    """Compare time and number, or time and histogram."""
    if want[0] != got[0]:
        return False
    if isinstance(want[1], str):
        return same_number(want[1], got[1])
    one, other = want[1].get("buckets", []), got[1].get("buckets", [])
    return (
        same_number(want[1]["count"], got[1]["count"])
        and same_number(want[1]["sum"], got[1]["sum"])
        and len(one) == len(other)
        and all(
            a[0] == b[0] and all(map(same_number, a[1:], b[1:]))
            for a, b in zip(one, other, strict=True)
        )
    )


def same_number(one: str, other: str) -> bool:
    """Compare numbers as they are written in JSON; sums that cancel out leave a little."""
    if one == other:
        return True
    a, b = float(one), float(other)
    if math.isnan(a) or math.isnan(b) or math.isinf(a) or math.isinf(b):
        return math.isnan(a) and math.isnan(b)
    return abs(a - b) <= max(TOLERANCE * max(abs(a), abs(b)), 1e-12)
