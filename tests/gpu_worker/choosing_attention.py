"""Chooses attention kernels on a CPU where no socket can be opened.

Imports once, then answers JSON lines `{"store": …, "backends": […], "offline": true}` with `{"chosen": …,
"log": …}`, each from a fork, because a kernel that was loaded stays.
"""

import io
import json
import logging
import os
import socket
import sys
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants

from gpu_worker.engines.infinitetalk.attention import CANDIDATES, first_that_agrees

REFUSED = "a socket was opened"


def refuse(*args: object, **kwargs: object) -> None:
    print(REFUSED, file=sys.stderr)
    os._exit(1)


def choose(store: str, backends: list[str], offline: bool) -> dict[str, Any]:
    constants.HF_HUB_OFFLINE = offline
    log = io.StringIO()
    logging.basicConfig(stream=log, level=logging.INFO, force=True)
    candidates = [candidate for candidate in CANDIDATES if candidate.backend in backends]
    chosen = first_that_agrees(candidates, torch.device("cpu"), Path(store))
    return {"chosen": chosen, "log": log.getvalue()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    socket.socket.connect = refuse  # type: ignore[method-assign, assignment]
    socket.getaddrinfo = refuse  # type: ignore[assignment]
    for line in sys.stdin:
        if os.fork() == 0:
            print(json.dumps(choose(**json.loads(line))), flush=True)
            os._exit(0)
        os.wait()
