"""Whose turn it is to compute.

Two threads that compute at once in one interpreter hinder each other: numpy lets go of the
interpreter's lock at every longer column, which wakes the other thread, again and again. So the
reader and the lanes hold this for as long as they parse or encode a batch, never over a request.
"""

import threading
from typing import Final

TURN: Final = threading.Lock()
