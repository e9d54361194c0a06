"""Who is next where tenants share what goes out of the house: fetches of inputs, deliveries of webhooks.

Servers of one tenant may be slow or never answer. So each lane (a tenant's fetches, one of its receivers)
has a bound of its own, and free places go to the tenant with the least at work.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from jobs.scheduling.fair_queue import TenantKey

LOOKED_AT = 1000
"""Rows of all tenants together, the first of each lane: enough for whoever has free places."""


@dataclass(frozen=True)
class Lane:
    """What of a tenant's waits for one another.

    Attributes:
        name: Tells the tenant's lanes apart.
    """

    tenant: TenantKey
    name: str = ""


@dataclass(frozen=True)
class Waiting:
    """The id of what waits in a lane."""

    id: str
    lane: Lane


def choose(
    waiting: Iterable[Waiting], in_work: Mapping[Lane, int], bound: Callable[[Lane], int], places: int
) -> list[str]:
    """Whom to give free places.

    Args:
        waiting: In the order of their turns.
        in_work: How many of each lane are at work.
        bound: How many of a lane may be at work at once.
        places: How many there are.

    Returns:
        Their ids, at most `places`.
    """
    of_lanes, of_tenants = Counter(in_work), Counter[TenantKey]()
    for lane, number in in_work.items():
        of_tenants[lane.tenant] += number
    lines: dict[Lane, deque[str]] = {}
    for one in waiting:
        lines.setdefault(one.lane, deque()).append(one.id)
    chosen: list[str] = []
    while len(chosen) < places:
        free = [lane for lane, line in lines.items() if line and of_lanes[lane] < bound(lane)]
        if not free:
            break
        lane = min(free, key=lambda lane: (of_tenants[lane.tenant], of_lanes[lane]))
        of_lanes[lane] += 1
        of_tenants[lane.tenant] += 1
        chosen.append(lines[lane].popleft())
    return chosen
