"""The sections ``remote_write`` and ``remote_read``, and what is made of them."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from model.errors import ConfigError
from model.labels import Labels
from storage.remote.reader import RemoteQueryable
from taskscope.config import load_config
from taskscope.remote import _relabel, make_queues, make_reader
from tests.fakes.store import MemoryStore

GOOD = """
external_labels: {cluster: c}
remote_write:
  - url: http://127.0.0.1:9090/api/v1/write
    name: far
    remote_timeout: 10s
    headers: {X-Scope-OrgID: one}
    basic_auth: {username: u, password_file: secret}
    queue_config: {max_shards: 4, batch_send_deadline: 1s, retry_on_http_429: false}
    metadata_config: {send: false}
    write_relabel_configs:
      - {source_labels: [__name__], regex: "go_.*", action: drop}
      - {target_label: sent, replacement: "yes"}
  - url: https://127.0.0.1:9091/api/v1/push
    protobuf_message: io.prometheus.write.v2.Request
    send_exemplars: true
    send_native_histograms: true
    authorization: {credentials: token}
remote_read:
  - url: http://127.0.0.1:9090/api/v1/read
"""


def written(folder: Path, text: str) -> Path:
    """Write a configuration file."""
    path = folder / "config.yml"
    path.write_text(text)
    return path


def test_queues_are_made(tmp_path: Path) -> None:
    """One for each endpoint, with a name of its own; the secret's file is read when it is sent."""
    config = load_config(written(tmp_path, GOOD), data_dir=tmp_path / "data")
    queues = make_queues(
        config.remote_write, config.external_labels, data=config.data_path(), base=config.base,
        metadata=MemoryStore(), registry=CollectorRegistry(),
    )  # fmt: skip

    assert len(queues) == 2
    assert [one.version for one in config.remote_write] == [1, 2]
    assert [one.send_exemplars for one in config.remote_write] == [False, True]
    assert len({one.called() for one in config.remote_write}) == 2
    (tmp_path / "secret").write_text("pass\n")
    assert config.remote_write[0].credentials(config.base).header() == "Basic dTpwYXNz"
    assert isinstance(make_reader(config.remote_read[0], config.base), RemoteQueryable)


def test_series_get_external_labels_before_relabelling(tmp_path: Path) -> None:
    """Those that a series has itself stay; what is dropped is not sent."""
    config = load_config(written(tmp_path, GOOD))
    change = _relabel(config.remote_write[0].write_relabel_configs, config.external_labels)

    assert change(Labels.of({"__name__": "up"})) == Labels.of(
        {"__name__": "up", "cluster": "c", "sent": "yes"}
    )
    assert change(Labels.of({"__name__": "up", "cluster": "own"})) == Labels.of(
        {"__name__": "up", "cluster": "own", "sent": "yes"}
    )
    assert change(Labels.of({"__name__": "go_threads"})) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("remote_write: [{url: 'ftp://x'}]", "is not a URL"),
        ("remote_write: [{url: 'http://a/w', urll: x}]", "unknown key"),
        ("remote_write: [{url: 'http://a/w'}, {url: 'http://a/w'}]", "name of its own"),
        ("remote_write: [{url: 'http://a/w', headers: {Host: x}}]", "set by the protocol"),
        ("remote_write: [{url: 'http://a/w', queue_config: {min_shards: 9, max_shards: 2}}]", "above"),
        ("remote_write: [{url: 'http://a/w', protobuf_message: x}]", "protobuf_message"),
        (
            "remote_write: [{url: 'http://a/w', basic_auth: {username: a}, authorization: {}}]",
            "exclude each other",
        ),
        ("remote_read: [{url: 'http://a/api'}]", "no remote read URL"),
        ("remote_read: [{url: 'http://a/read'}, {url: 'http://b/read'}]", "remote_read"),
    ],
)  # fmt: skip
def test_mistakes_are_told(tmp_path: Path, text: str, said: str) -> None:
    """Each with its place."""
    with pytest.raises(ConfigError, match=said) as told:
        load_config(written(tmp_path, text))

    assert "config.yml:1:" in str(told.value)
