"""The folder in which this process keeps uploads for a moment."""

import atexit
from functools import cache
from pathlib import Path

from gpu_worker.common.scratch import Scratch


@cache
def own_folder() -> Path:
    """Made when it is first asked for, and gone with the process.

    What a process that was killed has left in its own is removed then, so that half an upload of
    hundreds of megabytes doesn't stay for ever.
    """
    scratch = Scratch("control")
    atexit.register(scratch.close)
    return scratch.path
