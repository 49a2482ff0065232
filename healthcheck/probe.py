"""From a check and a task to one probe: where it goes and by which prober."""

from healthcheck.check import Check, CheckType
from healthcheck.prober.command import ExecRunner, probe_in_container, probe_on_host
from healthcheck.prober.http import probe_http
from healthcheck.prober.outcome import Outcome, not_made
from healthcheck.prober.tcp import probe_tcp
from model.task import Task


def probe(check: Check, task: Task, runner: ExecRunner | None) -> Outcome:
    """Make one probe; returns within the check's time-out (and a little), never raises for what it finds."""
    timeout = check.policy.timeout_seconds
    if check.type is CheckType.COMMAND:
        if check.on_host:
            return probe_on_host(check.argv, timeout)
        if runner is None:
            return not_made("runtime", "no runtime can run commands in containers here")
        return probe_in_container(runner, task.identity.container_id, check.argv, timeout)
    address = task.status.address
    if not address:
        return not_made("address", "the task has no address that this host can reach")
    port = check.port or _only_port(task)
    if not port:
        return not_made("port", "the task has not exactly one port; say which with port")
    if check.type is CheckType.TCP:
        return probe_tcp(address, port, timeout)
    return probe_http(
        address,
        port,
        check.path,
        tls=check.type is CheckType.HTTPS,
        status=check.status,
        body_regex=check.body_regex,
        verify_certificate=check.verify_certificate,
        timeout_seconds=timeout,
    )


def _only_port(task: Task) -> int:
    ports = {port.container for port in task.status.ports if port.protocol == "tcp"}
    return ports.pop() if len(ports) == 1 else 0
