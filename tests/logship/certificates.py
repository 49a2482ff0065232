"""A certificate authority of a test's own, made with openssl."""

import shutil
import ssl
import subprocess
from pathlib import Path

from tests.needs import leave_out


class Authority:
    """Signs for 127.0.0.1; ``ca_file`` is what clients are to trust."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            leave_out("no openssl")
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_file, ca_key = folder / "ca.pem", folder / "ca.key"
        key, request, certificate, extensions = (folder / name for name in ("key.pem", "request.pem", "certificate.pem", "extensions"))  # fmt: skip
        extensions.write_text("subjectAltName=IP:127.0.0.1\n")
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test authority",
                 "-keyout", ca_key, "-out", self.ca_file, "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", request)  # fmt: skip
        _openssl("x509", "-req", "-in", request, "-CA", self.ca_file, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate)  # fmt: skip
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
