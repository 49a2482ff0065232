"""Starting, waiting for a signal, stopping."""

import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Final

from model.errors import TaskscopeError
from taskscope.memory import one_arena
from taskscope.wiring import Part, Stack

_log = logging.getLogger(__name__)

STOP_SECONDS: Final = 10.0
_HEARD: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(stack: Stack, started: Callable[[], None]) -> None:
    """Start everything, call ``started``, wait for TERM or INT, stop everything in the other order.

    HUP reads the configuration anew, as Prometheus does; but a terminal that is closed takes what
    runs in it along. A part that cannot start stops those before it; its error goes to the caller.
    """
    one_arena()
    # readers of the store wait less long for a thread that parses (docs/adr/0002)
    sys.setswitchinterval(0.0005)
    # every log file that is followed stays open
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # a pipe, not an Event: setting one is not reentrant, and a handler may run in the middle of it
    asked, ask = os.pipe()
    for sign in _HEARD:
        signal.signal(sign, lambda number, _: os.write(ask, bytes([number])))
    on_terminal = os.isatty(0)
    running: list[Part] = []
    try:
        for part in stack.parts:
            running.append(part)
            part.start()
        started()
        while os.read(asked, 1)[0] == signal.SIGHUP and os.isatty(0) == on_terminal:
            _reload(stack)
    finally:
        # also for the interpreter's own end, where python gives handlers back to the system
        for sign in _HEARD:
            signal.signal(sign, signal.SIG_IGN)
        for part in reversed(running):
            try:
                part.stop(STOP_SECONDS)
            except (OSError, TaskscopeError) as error:  # a full disk must not keep the others open
                _log.error("%s did not stop cleanly: %s", type(part).__name__, error)


def _reload(stack: Stack) -> None:
    try:
        stack.reload()
    except (OSError, TaskscopeError) as error:
        _log.error("the configuration stays as it was: %s", error)
    else:
        _log.info("the configuration is reloaded: rules and scrape targets")
