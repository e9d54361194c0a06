"""Which workers on this machine have ended without saying so.

A process that was killed can't report that, but the next worker on the same machine can see that it is gone.
"""

import logging
import os
import socket
from pathlib import Path

from redis import Redis

from gpu_worker.contract import heartbeats
from gpu_worker.contract.heartbeats import Heard, Process

log = logging.getLogger(__name__)

BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> Process | None:
    """Where this process runs; None on a system that doesn't say."""
    pid = os.getpid()
    try:
        boot, namespace = BOOT.read_text().strip(), str(Path("/proc/self/ns/pid").stat().st_ino)
        return Process(f"{boot}/{socket.gethostname()}", namespace, pid, started_at(pid))
    except OSError:
        return None


def started_at(pid: int) -> int:
    """When a process was started, in clock ticks since the machine was.

    Raises:
        OSError: There is no such process, or nobody says.
    """
    # The fields behind the program's name, which may hold anything; see proc_pid_stat(5).
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def declare_gone(redis: Redis, here: Process | None) -> None:
    """Say of each worker of this machine whose process has ended that it is gone.

    Raises:
        RedisError: Redis is away.
    """
    if here is None:
        return
    for name, heard in heartbeats.read_all(redis).items():
        if _has_ended(heard, here):
            log.warning("the worker %s has ended without a word", name)
            heartbeats.declare_gone(redis, name)


def _has_ended(heard: Heard, here: Process) -> bool:
    process = heard.heartbeat.process
    if process is None or process.machine != here.machine:
        return False
    if process.namespace != here.namespace:
        # A container that was started again. Others may share the host's name, and are heard.
        return not heard.is_current
    return not _runs(process)


def _runs(process: Process) -> bool:
    try:
        os.kill(process.pid, 0)
        return started_at(process.pid) == process.started and not _is_zombie(process.pid)
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # It has ended in between.
        return False
    except OSError:  # It is another user's, or hidden.
        return True


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
