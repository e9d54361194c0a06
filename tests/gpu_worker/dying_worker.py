"""A painted worker that is killed at a file: `python -m tests.gpu_worker.dying_worker FILE`."""

import os
import signal
import sys
from typing import Any

from django.core.files.storage import FileSystemStorage

from gpu_worker import worker
from tests.gpu_worker.painted_engine import PaintedEngine


def die_at(file: str) -> None:
    """Let this process be killed when it is about to read or write a file of this name in the store."""

    def mortal(operation: Any) -> Any:
        def perform(storage: FileSystemStorage, name: str, *arguments: Any, **options: Any) -> Any:
            if name.endswith(f"/{file}"):
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(storage, name, *arguments, **options)

        return perform

    FileSystemStorage.open = mortal(FileSystemStorage.open)  # type: ignore[method-assign]
    FileSystemStorage.save = mortal(FileSystemStorage.save)  # type: ignore[method-assign]


if __name__ == "__main__":
    die_at(sys.argv[1])
    worker.set_up_logging()
    worker.serve("render-cpu", load_engine=lambda name: PaintedEngine())
