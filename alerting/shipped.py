"""Where the rules are that come with Taskscope."""

from pathlib import Path
from typing import Final

SHIPPED_RULES: Final = Path(__file__).parent / "rules" / "taskscope.yml"
# what users see, and what alerts are kept under; so an upgrade into another directory keeps them
SHIPPED_NAME: Final = "shipped/taskscope.yml"
