"""Where the rules are that come with Taskscope."""

from pathlib import Path
from typing import Final

SHIPPED_RULES: Final = Path(__file__).parent / "rules" / "taskscope.yml"
