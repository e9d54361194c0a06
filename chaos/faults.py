"""How each fault is made, and how it is undone."""

import resource
import signal
from collections.abc import Callable
from contextlib import suppress

from redis.exceptions import RedisError

from chaos.plan import Fault, Kind
from chaos.receiver import Mood
from chaos.reports import Meddler
from chaos.stack import Stack
from chaos.store_proxy import State

# What a file of a render worker may hold while there is no space: enough to begin one, not to finish it.
FULL_BYTES = 4096
SERVER_SECONDS = 20.0

Undo = Callable[[], None]

STORE_STATES = {Kind.STORE_DOWN: State.CLOSED, Kind.STORE_SLOW: State.SLOW}
MOODS = {
    Kind.RECEIVER_REFUSES: Mood.REFUSES,
    Kind.RECEIVER_HANGS: Mood.HANGS,
    Kind.RECEIVER_RESETS: Mood.RESETS,
}
DEATHS = {Kind.KILL: signal.SIGKILL, Kind.END: signal.SIGTERM}
FREEZES = (Kind.FREEZE, Kind.FREEZE_LONG)
SERVERS = {
    Kind.REDIS_RESTART: ("valkey", signal.SIGTERM),
    Kind.REDIS_WIPE: ("valkey", signal.SIGKILL),
    Kind.POSTGRES_FAST: ("postgres", signal.SIGINT),
    Kind.POSTGRES_IMMEDIATE: ("postgres", signal.SIGQUIT),
}


def what_it_holds(fault: Fault) -> str:
    """What must not be in the hands of another fault meanwhile."""
    if fault.kind in SERVERS:
        return SERVERS[fault.kind][0]
    if fault.kind in STORE_STATES:
        return "store"
    if fault.kind in MOODS:
        return "receiver"
    return fault.target or "reports"


class Mischief:
    """Makes faults happen to a stack."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self._stack = stack
        self._meddler = Meddler(stack.valkey.url, seed)

    def make(self, fault: Fault) -> Undo:
        """Let it happen; what is returned ends it."""
        kind = fault.kind
        if kind in DEATHS:
            self._stack.processes[fault.target].send(DEATHS[kind])
            return _nothing
        if kind in FREEZES:
            return self._freeze(fault.target)
        if kind in SERVERS:
            return self._stop_server(kind)
        if kind in STORE_STATES:
            self._stack.proxy.be(STORE_STATES[kind])
            return lambda: self._stack.proxy.be(State.OPEN)
        if kind in MOODS:
            self._stack.receiver.mood = MOODS[kind]
            return self._cheer_up
        if kind is Kind.CLOCK:
            return self._set_clock(fault.target, fault.offset)
        if kind is Kind.DISK_FULL:
            return self._fill_disk(fault.target)
        return self._hold_up_reports(kind)

    def _freeze(self, target: str) -> Undo:
        process = self._stack.processes[target]
        process.send(signal.SIGSTOP)
        return lambda: process.send(signal.SIGCONT)

    def _stop_server(self, kind: Kind) -> Undo:
        name, number = SERVERS[kind]
        process = self._stack.processes[name]
        process.wanted = False
        process.end(number, SERVER_SECONDS)
        if kind is Kind.REDIS_WIPE:
            self._stack.wipe_redis()
        return lambda: self._stack.restart(name)

    def _cheer_up(self) -> None:
        self._stack.receiver.mood = Mood.ANSWERS

    def _set_clock(self, target: str, offset: float) -> Undo:
        clock = self._stack.clock(target)
        clock.write_text(str(offset))

        def undo() -> None:
            clock.write_text("0")

        return undo

    def _fill_disk(self, target: str) -> Undo:
        """A limit to the size of files, since a full disk for one process needs root."""
        pid = self._stack.processes[target].pid
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (FULL_BYTES, resource.RLIM_INFINITY))

        def undo() -> None:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        return undo

    def _hold_up_reports(self, kind: Kind) -> Undo:
        """Stop whoever reads the reports, until enough of them wait to be confused."""
        go_on = self._freeze("reports")

        def undo() -> None:
            with suppress(RedisError):
                self._meddler.repeat() if kind is Kind.REPORTS_TWICE else self._meddler.shuffle()
            go_on()

        return undo


def _nothing() -> None:
    """What is over at once."""
