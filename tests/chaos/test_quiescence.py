"""When a run has come to rest, when it has stalled, and when nobody can say."""

import pytest

from chaos import quiescence
from chaos.quiescence import Moment, UnfinishedError, wait


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> list[Moment]:
    """A clock that goes on by a minute with each look; the test says how much of it was idle."""
    moments = [Moment(0.0, 0.0)]
    monkeypatch.setattr(Moment, "now", lambda: moments[-1])
    return moments


def pass_a_minute(moments: list[Moment], idle: float) -> None:
    moments.append(Moment(moments[-1].at + 60.0, moments[-1].spare + idle))


def test_what_stands_still_on_an_idle_machine_has_stalled(passing: list[Moment]) -> None:
    assert wait(lambda: False, lambda: 1, lambda: pass_a_minute(passing, idle=50.0)) is False
    assert passing[-1].at == pytest.approx(quiescence.STALLED_SECONDS, abs=60)


def test_what_stands_still_for_want_of_a_processor_is_unfinished(passing: list[Moment]) -> None:
    with pytest.raises(UnfinishedError):
        wait(lambda: False, lambda: 1, lambda: pass_a_minute(passing, idle=0.0))


def test_what_gets_done_in_the_end_is_waited_for(passing: list[Moment]) -> None:
    ended = wait(lambda: len(passing) > 10, lambda: len(passing), lambda: pass_a_minute(passing, idle=50.0))

    assert ended is True


def test_idle_time_is_counted() -> None:
    assert quiescence.idle_seconds() >= 0
