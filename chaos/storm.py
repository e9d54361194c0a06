"""The time in which videos are ordered and things go wrong."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chaos.customers import Customers
from chaos.faults import Mischief, Undo, what_it_holds
from chaos.plan import Fault, Order
from chaos.stack import Stack
from chaos.targets import Outage

TICK_SECONDS = 0.05
# Without one of these no loss is noticed and no job sent.
CONTROL = frozenset({"valkey", "postgres", "reports", "periodic"})
RESTART_SECONDS = 12.0


@dataclass(frozen=True)
class AtWork:
    """A fault that lasts, in seconds since the storm began."""

    until: float
    fault: Fault
    undo: Undo


class Storm:
    """Places orders and makes faults, each at its time; a fault waits for what another one holds.

    Attributes:
        made: The faults, in the order in which they were made.
        ends: When each of them was over.
        outages: When, because of them, control could hear nobody.
    """

    def __init__(
        self, stack: Stack, customers: Customers, orders: Sequence[Order], faults: Sequence[Fault], seed: int
    ) -> None:
        self.made: list[Fault] = []
        self.ends: list[datetime] = []
        self.outages: list[Outage] = []
        self._stack = stack
        self._customers = customers
        self._orders = deque(orders)
        self._faults = list(faults)
        self._at_work: list[AtWork] = []
        self._mischief = Mischief(stack, seed)

    def rage(self) -> None:
        """Go on until everything is ordered, made and undone."""
        began = time.monotonic()
        while self._orders or self._faults or self._at_work:
            now = time.monotonic() - began
            self._order(now)
            self._end_faults(now)
            self._make_a_fault(now)
            self._stack.keep()
            time.sleep(TICK_SECONDS)

    def _order(self, now: float) -> None:
        while self._orders and self._orders[0].at <= now:
            self._customers.place(self._orders.popleft())

    def _end_faults(self, now: float) -> None:
        for each in [each for each in self._at_work if each.until <= now]:
            self._at_work.remove(each)
            each.undo()
            self.ends.append(datetime.now(UTC))

    def _make_a_fault(self, now: float) -> None:
        held = {what_it_holds(each.fault) for each in self._at_work}
        due = [fault for fault in self._faults if fault.at <= now and what_it_holds(fault) not in held]
        if due:
            self._faults.remove(due[0])
            self._note(due[0])
            begin = datetime.now(UTC)
            self._at_work.append(AtWork(now + due[0].seconds, due[0], self._mischief.make(due[0])))
            if what_it_holds(due[0]) in CONTROL:
                # By then what was killed has started again, and what was away is found again.
                end = datetime.now(UTC) + timedelta(seconds=due[0].seconds + RESTART_SECONDS)
                self.outages.append(Outage(begin, end))
            self.made.append(due[0])

    def _note(self, fault: Fault) -> None:
        with (self._stack.logs / "faults.log").open("a") as log:
            log.write(f"{datetime.now(UTC):%H:%M:%S.%f} {fault}\n")
