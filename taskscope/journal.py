"""Taskscope's own log: sentences with fields, as ECS JSON lines or as text on a terminal.

ERROR: data was lost or somebody is needed. WARNING: odd, nothing lost. INFO: start, stop, reload.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO


class _Ecs(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        document = {
            "@timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(
                timespec="milliseconds"
            ),
            "log.level": record.levelname.lower(),
            "message": record.getMessage(),
            "log.logger": record.name,
            "service.name": "taskscope",
        }
        if record.exc_info:
            document["error.stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False)


def configure(stream: TextIO = sys.stderr, level: int = logging.INFO) -> None:
    """Send the log to a stream: text if it is a terminal, else JSON lines."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
        if stream.isatty()
        else _Ecs()
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # what these say at INFO is for their own developers
    for name in ("waitress", "elastic_transport", "elasticsearch", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
