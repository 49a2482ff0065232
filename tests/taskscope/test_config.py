"""The configuration file: what is wrong is said whole, with places and suggestions."""

from pathlib import Path

import pytest

from model.errors import ConfigError, OperatorError
from taskscope.config import TaskscopeConfig, load_config, split_listen

DATA = Path(__file__).parent / "testdata"


def problems(text: str, tmp_path: Path) -> list[str]:
    """Return what is wrong with a file, without its name."""
    file = tmp_path / "taskscope.yml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    return [str(p).removeprefix(f"{file}:") for p in caught.value.problems]


def test_no_file_is_needed() -> None:
    """Every setting has a default."""
    config = load_config(None)

    assert config.listen == "127.0.0.1:9800"
    assert [sink.type for sink in config.logship.sinks] == ["embedded"]


def test_all_problems_come_at_once() -> None:
    """One bad file, all of it named, in the file's order."""
    with pytest.raises(ConfigError) as caught:
        load_config(DATA / "everything.bad.yml")
    found = [(p.line, p.key) for p in caught.value.problems]

    assert found == [
        (2, "lisen"),
        (3, "data_dir"),
        (5, "discovery.docker.socket"),
        (6, "discovery.retention_hours"),
        (8, "collector.interval_second"),
        (12, "collector.scrape_configs.0.relabel_configs.0"),
        (15, "healthcheck.checks.0.path"),
        (16, "healthcheck.checks.1"),
        (19, "logship.sinks.0.endpoint"),
        (21, "alerting.receivers.0.url"),
    ]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("lisen: x", "1:1: lisen: unknown key; did you mean listen?"),
        ("collector:\n  interval_second: 15", "2:3: collector.interval_second: unknown key; did you mean interval_seconds?"),
        ("cluster: [", "1:11: not valid YAML"),
        ("cluster: a\ncluster: b", "2:1: cluster: stands twice; keep one"),
        ("- a", "1:1: must be settings (key: value), not a list or a text"),
        ("listen: 0.0.0.0:9800", "1:9: listen: '0.0.0.0' is not loopback"),
        ("listen: here", "1:9: listen: 'here' is no address; it looks like 127.0.0.1:9800"),
        ("logship: {sinks: [{type: elasticsearch, username: me}]}", "1:19: logship.sinks.0: username needs password_file"),
        ("logship: {sinks: [{type: kafka}]}", "1:19: logship.sinks.0: type 'kafka' is not known; it is one of"),
        ("logship: {sinks: []}", "1:18: logship.sinks: needs at least one sink; enabled: false switches"),
        ("cluster: 3", "1:10: cluster: should be text; a number needs quotes"),
        ("logdb: 7", "1:8: logdb: should be settings (key: value)"),
        ("alerting: {rule_files: a.yml}", "1:24: alerting.rule_files: should be a list"),
        ("collector: {interval_seconds: fast}", "1:31: collector.interval_seconds: should be a number"),
    ],
)  # fmt: skip
def test_a_problem_is_named_with_its_place(text: str, want: str, tmp_path: Path) -> None:
    """File, line, column, key, what is wrong, what would be right."""
    found = problems(text, tmp_path)

    assert len(found) == 1
    assert found[0].startswith(want)


def test_a_key_without_a_value_is_as_good_as_left_out(tmp_path: Path) -> None:
    """What is below it may all be commented out."""
    file = tmp_path / "taskscope.yml"
    file.write_text("listen:\ncollector:\n  # interval_seconds: 5\nlogship:\n  sinks:\n")

    config = load_config(file)

    assert config.listen == "127.0.0.1:9800"
    assert config.collector.interval_seconds == 15
    assert len(config.logship.sinks) == 1


def test_secrets_are_not_in_messages(tmp_path: Path) -> None:
    """A webhook's address may hold a token; it is not repeated."""
    found = problems(
        "alerting: {receivers: [{type: webhook, url: 'hooks.example/T0KEN'}]}", tmp_path
    )

    assert "T0KEN" not in "".join(found)


def test_a_file_that_is_not_there() -> None:
    """It says so in one sentence."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(Path("nowhere.yml"))


def test_relative_files_are_meant_from_the_file(tmp_path: Path) -> None:
    """Rule files and data folder stand beside the configuration."""
    file = tmp_path / "taskscope.yml"
    file.write_text("data_dir: data\nalerting: {rule_files: ['rules/*.yml'], shipped_rules: false}")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "mine.yml").write_text("groups: []")

    config = load_config(file)

    assert config.data_path() == tmp_path / "data"
    assert config.rule_paths() == [tmp_path / "rules" / "mine.yml"]


def test_options_stand_above_the_file(tmp_path: Path) -> None:
    """``--listen`` and ``--data-dir`` win, and are judged too."""
    config = load_config(None, listen="[::1]:9900", data_dir=tmp_path)

    assert split_listen(config.listen) == ("::1", 9900)
    assert config.data_path() == tmp_path
    with pytest.raises(OperatorError, match="not loopback"):
        load_config(None, listen="192.0.2.1:80")


def test_sections_are_frozen() -> None:
    """Nobody changes the configuration under the others."""
    from pydantic import ValidationError

    with pytest.raises(ValidationError):
        setattr(TaskscopeConfig(), "cluster", "other")  # noqa: B010  the type checker forbids the plain form
