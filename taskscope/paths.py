"""Where data lives when nobody says otherwise; one place, so that `run`, `demo` and `up` agree."""

import os
from collections.abc import Mapping
from pathlib import Path


def default_data_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the user's state folder: ``$TASKSCOPE_DATA_DIR``, else XDG's, else ``~/.local/state``."""
    if given := environment.get("TASKSCOPE_DATA_DIR"):
        return Path(given)
    base = environment.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "taskscope"
