"""What a run will do, drawn from its seed: which videos are ordered when, and what goes wrong when."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import takewhile
from typing import TypeVar

TENANTS = 8
Card = TypeVar("Card")


class Kind(StrEnum):
    """Everything that can be done to a running stack."""

    KILL = "SIGKILL of a process"
    END = "SIGTERM of a process"
    FREEZE = "SIGSTOP of a process, SIGCONT later"
    FREEZE_LONG = "SIGSTOP of a render worker until it is given up, SIGCONT later"
    REDIS_RESTART = "Redis restarted with its data"
    REDIS_WIPE = "Redis restarted without its data"
    POSTGRES_FAST = "Postgres restarted, fast"
    POSTGRES_IMMEDIATE = "Postgres restarted, immediate"
    STORE_DOWN = "object store down"
    STORE_SLOW = "object store slow"
    RECEIVER_REFUSES = "webhook receiver answers 500"
    RECEIVER_HANGS = "webhook receiver answers nothing"
    RECEIVER_RESETS = "webhook receiver resets connections"
    CLOCK = "clock of a worker jumps"
    REPORTS_TWICE = "reports repeated, old ones too"
    REPORTS_SHUFFLED = "reports out of order"
    DISK_FULL = "no space for a render worker's files"


RENDER_WORKERS = ("render-cpu-1", "render-cpu-2", "render-gpu")
CONTROL_WORKERS = ("reports", "periodic", "outbound-1", "outbound-2")
PROCESSES = ("web", *CONTROL_WORKERS, *RENDER_WORKERS)

# Of what happens to processes there is more than of the rest, and render workers are met most.
DECK = (*Kind, Kind.KILL, Kind.KILL, Kind.KILL, Kind.END, Kind.END, Kind.FREEZE)
TARGETS: dict[Kind, Sequence[str]] = {
    Kind.KILL: (*PROCESSES, *RENDER_WORKERS),
    Kind.END: (*PROCESSES, *RENDER_WORKERS),
    Kind.FREEZE: PROCESSES,
    Kind.FREEZE_LONG: RENDER_WORKERS,
    Kind.CLOCK: (*CONTROL_WORKERS, *RENDER_WORKERS),
    Kind.DISK_FULL: RENDER_WORKERS,
}
AT_ONCE = frozenset({Kind.KILL, Kind.END})
LASTING_SECONDS = (2.0, 8.0)
# A render worker's clock decides nothing. The control side's clocks do, so they jump by less.
CLOCK_JUMPS = {name: 600.0 if name in RENDER_WORKERS else 20.0 for name in PROCESSES}


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        at: Seconds after the first order.
        target: The process that it befalls; empty where the kind says it all.
        seconds: How long it lasts; 0 for what is over at once.
        offset: By how much a clock jumps, in seconds.
    """

    at: float
    kind: Kind
    target: str = ""
    seconds: float = 0.0
    offset: float = 0.0

    def __str__(self) -> str:
        facts = [self.target, f"for {self.seconds:.0f} s" if self.seconds else ""]
        facts.append(f"by {self.offset:+.0f} s" if self.offset else "")
        return " ".join([self.kind, *filter(None, facts)])


@dataclass(frozen=True)
class Variant:
    """A video that is ordered again and again, so that each result can be held against an undisturbed one.

    Attributes:
        livemode: Rendered by InfiniteTalk; else by the preview engine.
        seconds: Length of the speech: 3.24 s are one window, each 2.88 s more another one.
    """

    livemode: bool
    seconds: float
    seed: int


# The short ones are ordered more often.
VARIANTS = (
    *(Variant(False, 0.6, 1),) * 4,
    *(Variant(False, 1.6, 2),) * 4,
    *(Variant(False, 3.0, 3),) * 2,
    *(Variant(False, 4.4, 4),) * 2,
    *(Variant(False, 6.5, 5),) * 1,
    *(Variant(True, 0.6, 6),) * 2,
    *(Variant(True, 4.0, 7),) * 1,
    *(Variant(True, 6.5, 8),) * 1,
)
SHORT_VARIANTS = (Variant(False, 0.6, 1), Variant(False, 4.4, 4), Variant(True, 4.0, 7))


@dataclass(frozen=True)
class Order:
    """A customer's wish.

    Attributes:
        at: Seconds after the first order.
        key: Its Idempotency-Key; also in the job's metadata, so that a doubled job shows.
        cancel_after: Seconds after which the customer wants it no more, or None.
    """

    at: float
    key: str
    tenant: int
    variant: Variant
    cancel_after: float | None


def orders(seed: int, jobs: int, seconds: float, variants: Sequence[Variant]) -> list[Order]:
    """`jobs` orders spread over `seconds`, every twentieth of which is taken back."""
    chance = random.Random(f"orders {seed}")  # noqa: S311
    moments = sorted(chance.uniform(0, seconds) for _ in range(jobs))
    return [
        Order(
            at=moment,
            key=f"order-{number}",
            tenant=chance.randrange(TENANTS),
            variant=chance.choice(variants),
            cancel_after=chance.uniform(0, 5) if number % 20 == 10 else None,
        )
        for number, moment in enumerate(moments)
    ]


SHORT_FAULTS = (
    Fault(0.5, Kind.KILL, "web"),
    Fault(1.0, Kind.STORE_DOWN, seconds=1.5),
    Fault(1.5, Kind.RECEIVER_REFUSES, seconds=2.0),
    Fault(2.5, Kind.KILL, "render-cpu-1"),
    Fault(3.0, Kind.REPORTS_TWICE, seconds=1.5),
    Fault(4.0, Kind.KILL, "render-gpu"),
    Fault(4.5, Kind.REDIS_WIPE, seconds=0.5),
    Fault(6.0, Kind.POSTGRES_IMMEDIATE, seconds=0.5),
    Fault(7.0, Kind.KILL, "reports"),
    Fault(7.5, Kind.REPORTS_SHUFFLED, seconds=1.5),
    Fault(8.0, Kind.END, "render-cpu-2"),
)
"""What befalls the short run."""


def faults(seed: int, seconds: float, gap: tuple[float, float], lost_seconds: float) -> list[Fault]:
    """What goes wrong within `seconds`: every kind once before any comes again.

    Args:
        seed: What all is drawn from.
        seconds: When the last one begins at the latest.
        gap: From one to the next, in seconds: at least and at most.
        lost_seconds: How long a worker must be silent to be given up.
    """
    chance = random.Random(f"faults {seed}")  # noqa: S311
    targets = {kind: _dealt(chance, names) for kind, names in TARGETS.items()}

    def endless() -> Iterator[Fault]:
        at = frozen_until = 0.0
        for kind in _dealt(chance, DECK):
            if kind is Kind.FREEZE_LONG and at < frozen_until:
                continue  # One at a time, or nobody renders for minutes.
            if kind is Kind.FREEZE_LONG:
                frozen_until = at + lost_seconds
            at += chance.uniform(*gap)
            target = next(targets[kind]) if kind in targets else ""
            jump = CLOCK_JUMPS[target] if kind is Kind.CLOCK else 0.0
            yield Fault(at, kind, target, _duration(kind, chance, lost_seconds), chance.uniform(-jump, jump))

    begun = takewhile(lambda fault: fault.at < seconds, endless())
    return [replace(fault, seconds=min(fault.seconds, seconds - fault.at)) for fault in begun]


def _duration(kind: Kind, chance: random.Random, lost_seconds: float) -> float:
    if kind in AT_ONCE:
        return 0.0
    if kind is Kind.FREEZE_LONG:
        return lost_seconds
    return chance.uniform(*LASTING_SECONDS)


def _dealt(chance: random.Random, cards: Sequence[Card]) -> Iterator[Card]:
    """Cards of a deck that is shuffled anew each time that it is used up."""
    while True:
        yield from chance.sample(cards, len(cards))
