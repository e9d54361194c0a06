"""What counts against the targets of a run, and what doesn't."""

from datetime import UTC, datetime, timedelta

from chaos.idle_watch import Wait
from chaos.targets import Measured, Outage, idle_seconds, missed

NOON = datetime(2027, 1, 31, 12, tzinfo=UTC)
FINE = Measured(known=[2.0] * 5, silent=[61.0], idle=[0.3] * 20, look=0.02)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_what_meets_the_targets_is_no_fault() -> None:
    assert list(missed(FINE)) == []


def test_each_target_that_is_missed_is_named() -> None:
    slow = Measured(known=[16.0], silent=[76.0], idle=[1.1] * 20, look=0.02)

    assert [sentence.split()[0] for sentence in missed(slow)] == ["lost", "a", "free"]


def test_a_run_that_met_nothing_to_measure_has_shown_nothing() -> None:
    assert list(missed(Measured([], [], [], 0.02))) == ["there was nothing to hold a target against"]


def test_a_machine_without_time_is_given_as_much_more_as_it_takes_for_a_look() -> None:
    late = Measured(known=[16.0], silent=[76.0], idle=[1.1] * 20, look=0.2)

    assert list(missed(late)) == []
    assert late.stretch == 2.0


def test_the_time_of_outages_is_left_out_once_where_they_overlap() -> None:
    outages = [Outage(at(2), at(5)), Outage(at(3), at(6)), Outage(at(100), at(101))]
    waits = [Wait(at(0), at(10)), Wait(at(4), at(5)), Wait(at(20), at(20.5))]

    assert idle_seconds(outages, waits) == [6.0, 0.0, 0.5]
