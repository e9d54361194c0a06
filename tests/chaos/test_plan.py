"""What a run will do follows from its seed."""

from collections import Counter

from chaos import plan
from chaos.plan import DECK, PROCESSES, VARIANTS, Fault, Kind

SECONDS = 300.0


def faults(seed: int) -> list[Fault]:
    return plan.faults(seed, SECONDS, gap=(2.0, 5.0), lost_seconds=140.0)


def test_a_seed_says_all_that_will_happen() -> None:
    assert faults(1) == faults(1)
    assert faults(1) != faults(2)
    assert plan.orders(1, 200, SECONDS, VARIANTS) == plan.orders(1, 200, SECONDS, VARIANTS)


def test_every_kind_of_fault_is_made_before_any_comes_too_often() -> None:
    first = Counter(fault.kind for fault in faults(1)[: len(DECK)])
    assert first == Counter(DECK)
    assert set(first) == set(Kind)


def test_no_fault_outlasts_the_storm() -> None:
    assert all(fault.at + fault.seconds <= SECONDS + 1e-6 for fault in faults(1))


def test_what_befalls_a_process_says_which() -> None:
    named = {fault.target for fault in faults(1) if fault.kind in plan.TARGETS}
    assert named == set(PROCESSES)
    assert all(not fault.target for fault in faults(1) if fault.kind not in plan.TARGETS)


def test_every_order_has_a_key_of_its_own_and_some_are_taken_back() -> None:
    orders = plan.orders(1, 200, SECONDS, VARIANTS)
    assert len({order.key for order in orders}) == 200
    assert sum(order.cancel_after is not None for order in orders) == 10
    assert {order.tenant for order in orders} == set(range(plan.TENANTS))
