"""Who gets the places of what goes out: tenants in turn, and no lane more than its bound."""

from jobs.scheduling.fair_claims import Lane, Waiting, choose
from jobs.scheduling.fair_queue import TenantKey

ACME, INITECH = TenantKey("org_acme", False), TenantKey("org_initech", False)


def waiting(lane: Lane, *ids: str) -> list[Waiting]:
    return [Waiting(one, lane) for one in ids]


def test_tenants_take_turns_however_many_one_has_waiting():
    many = waiting(Lane(ACME), *"abcdef") + waiting(Lane(INITECH), "x", "y")
    assert choose(many, {}, lambda _: 10, 4) == ["a", "x", "b", "y"]


def test_what_is_at_work_already_counts():
    many = waiting(Lane(ACME), "a", "b") + waiting(Lane(INITECH), "x", "y")
    assert choose(many, {Lane(ACME): 2}, lambda _: 10, 3) == ["x", "y", "a"]


def test_a_lane_has_no_more_than_its_bound_though_places_stay_free():
    assert choose(waiting(Lane(ACME), *"abcdef"), {Lane(ACME): 1}, lambda _: 3, 10) == ["a", "b"]


def test_a_full_lane_does_not_hold_up_the_tenants_others():
    slow, quick = Lane(ACME, "staging"), Lane(ACME, "production")
    many = waiting(slow, "s1", "s2") + waiting(quick, "p1", "p2")
    assert choose(many, {slow: 8}, lambda _: 8, 10) == ["p1", "p2"]
