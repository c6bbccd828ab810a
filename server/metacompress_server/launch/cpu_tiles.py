"""Asks Linux for the CPU's tile registers (AMX), which vLLM's attention on CPU uses without asking.

A process that uses them without leave is killed (illegal instruction). oneDNN asks when a vision
tower runs in bfloat16; an engine whose first request had no picture died before that.
"""

import ctypes
import platform
import sys

_ARCH_PRCTL = 158
_REQUEST_PERMISSION = 0x1023
_TILE_DATA = 18


def ask_for_tiles() -> bool:
    """For this process and all threads it starts. False where there are none to be had."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) == 0)
