"""Small files that must survive ``kill -9`` and power loss whole: versioned, checksummed, replaced in one step."""

import logging
import zlib
from pathlib import Path

from storage.files import replace_file

_log = logging.getLogger(__name__)


def write(path: Path, kind: str, version: int, body: bytes) -> None:
    """Replace a file; when this returns, the new content is on disk.

    Raises:
        OSError: If it cannot be written; the old content is still there then.
    """
    head = f"{kind} {version} {zlib.crc32(body):08x} {len(body)}\n".encode()
    replace_file(path, head + body, mode=0o600)


def read(path: Path, kind: str, version: int) -> bytes | None:
    """Return the body, or None if there is none.

    A file that is damaged or of a version this program does not know is set aside under the name
    ``<name>.unreadable``, with one sentence in the log: starting without old state is better than
    not alerting at all.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.error("cannot read %s: %s; going on without it", path, error.strerror)
        return None
    head, _, body = content.partition(b"\n")
    words = head.decode("latin-1").split(" ")
    if words[:2] == [kind, str(version)]:
        if words[2:] == [f"{zlib.crc32(body):08x}", str(len(body))]:
            return body
        reason = "is damaged"
    elif words[:1] == [kind]:
        reason = f"has format version {words[1] if len(words) > 1 else '?'}, this program knows {version}"
    else:
        reason = f"is no {kind} file"
    aside = path.with_name(path.name + ".unreadable")
    path.replace(aside)
    _log.error("%s %s; it is kept as %s and left out", path, reason, aside.name)
    return None
