"""The processes that share the renders of a worker, one a GPU: started, heard and ended together."""

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path

from gpu_worker.engines.infinitetalk.rank_messages import Begin, Message, Ready

log = logging.getLogger(__name__)

START_SECONDS = 900.0
"""What loading the models may take, from a slow volume."""


class LostRankError(Exception):
    """A process that shares the render has ended or failed; the attempt can be repeated."""


class RankProcesses:
    """Ranks that have loaded their models.

    Args:
        size: How many there are.

    Raises:
        LostRankError: One of them could not start.
    """

    def __init__(self, size: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ranks-")
        self._connections: list[Connection] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        for rank in range(size):
            self._start(rank, size)
        try:
            self.ready = self._wait_until_ready()
        except BaseException:
            self.end()
            raise

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def send(self, message: Begin | bool) -> None:
        """Say something to all ranks.

        Raises:
            LostRankError: One is gone.
        """
        try:
            for connection in self._connections:
                connection.send(message)
        except OSError as error:
            raise LostRankError("a rank has ended") from error

    def receive(self, seconds: float | None = None) -> tuple[int, Message]:
        """Wait for what any rank says next.

        Args:
            seconds: How long to wait at most.

        Returns:
            The rank and its message.

        Raises:
            LostRankError: One has ended, or nothing has come in time.
        """
        readable = wait(self._connections, seconds)
        if not readable:
            raise LostRankError(f"the ranks have said nothing for {seconds:.0f} s")
        rank = min(index for index, connection in enumerate(self._connections) if connection in readable)
        try:
            return rank, self._connections[rank].recv()
        except (EOFError, OSError) as error:
            raise LostRankError(f"rank {rank} has ended{self._how(rank)}") from error

    def end(self) -> None:
        """Kill all ranks: what one is doing is of no use without the others."""
        for process in self._processes:
            process.kill()
        for process, connection in zip(self._processes, self._connections, strict=True):
            process.wait()
            connection.close()
        self._folder.cleanup()

    def _start(self, rank: int, size: int) -> None:
        ours, theirs = socket.socketpair()
        url = f"file://{Path(self._folder.name) / 'rendezvous'}"
        module = "gpu_worker.engines.infinitetalk.rank"
        command = [sys.executable, "-m", module, str(rank), str(size), str(theirs.fileno()), url]
        environment = {**os.environ, **_threads(size)}
        with ours, theirs:
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)
            self._connections.append(Connection(ours.detach()))
        self._processes.append(process)

    def _wait_until_ready(self) -> Ready:
        """What the first rank says once all have loaded."""
        began, ready = time.monotonic(), dict[int, Ready]()
        while len(ready) < len(self._processes):
            rank, message = self.receive(START_SECONDS)
            assert isinstance(message, Ready)
            ready[rank] = message
        log.info("%d ranks are ready after %.1f s", len(ready), time.monotonic() - began)
        return ready[0]

    def _how(self, rank: int) -> str:
        try:
            status = self._processes[rank].wait(1)
        except subprocess.TimeoutExpired:
            return ""
        return f" with {signal.Signals(-status).name}" if status < 0 else f" with status {status}"


def _threads(size: int) -> dict[str, str]:
    """Each rank's share of the CPU, unless the environment says."""
    share = max(1, len(os.sched_getaffinity(0)) // size)
    return {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(share)}
