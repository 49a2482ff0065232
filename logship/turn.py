"""Whose turn it is to compute.

Two threads that compute at once in one interpreter gain nothing: numpy lets go of the
interpreter's lock at every longer column, the other thread is woken, and both wait for each other
through the kernel thousands of times a second. That took a sixth of all CPU of log shipping. So the
reader and the lanes hold this for as long as they parse or encode a batch, never over a wait.
"""

import threading
from typing import Final

TURN: Final = threading.Lock()
