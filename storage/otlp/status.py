"""How OTLP wants errors to be answered."""

import orjson

from storage.remote.wire import delimited


def status_message(text: str, *, as_json: bool) -> bytes:
    """Return a google.rpc.Status, as OTLP wants errors to be answered."""
    if as_json:
        return orjson.dumps({"message": text})
    return delimited(0x12, text.encode("utf-8", "replace"))
