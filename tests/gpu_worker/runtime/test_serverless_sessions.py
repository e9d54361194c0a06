"""A worker on demand renders when it is told to, for as long as it is told to."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from gpu_worker.contract.spec import ReportKind
from gpu_worker.contract.turns import HAND_BACK_SECONDS
from gpu_worker.runtime.shutdown import LIMIT_SECONDS
from tests.gpu_worker.playing_control import Control, WorkerProcess


class Parent:
    """The other end of a worker's line."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lines = channel.makefile("r")

    def say(self, **command: Any) -> None:
        self._channel.sendall(json.dumps(command).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._lines.readline())
        return answer

    def leave(self) -> None:
        self._lines.close()
        self._channel.close()


@pytest.fixture
def parent(control: Control) -> Iterator[Parent]:
    ours, theirs = socket.socketpair()
    with (
        theirs,
        WorkerProcess(control, "--turns", str(theirs.fileno()), pass_fds=[theirs.fileno()]) as process,
    ):
        theirs.close()
        parent = Parent(ours)
        assert parent.hear() == {"ready": True}
        yield parent
        parent.leave()
        assert process.wait(60) == 0  # A worker whose parent is gone ends.


def test_a_turn_drains_the_queue_and_says_what_it_did(parent: Parent, control: Control) -> None:
    control.send(control.spec(1))
    control.send(control.spec(2, job_id="job_2"))
    parent.say(turn=1, seconds=60, limit=600)
    answer = parent.hear()
    assert (answer["turn"], answer["attempts"]) == (1, 2)
    assert [r.kind for r in control.reports()].count(ReportKind.SUCCEEDED) == 2


def test_nothing_is_rendered_between_turns(parent: Parent, control: Control) -> None:
    parent.say(turn=1, seconds=60, limit=600)
    assert parent.hear()["attempts"] == 0
    control.send(control.spec())
    assert control.workers() == 0
    assert control.queue.count == 1


def test_a_turn_that_is_over_hands_back_and_the_next_one_goes_on_there(
    parent: Parent, control: Control
) -> None:
    spec = control.send(control.spec(simulate="slow"))  # Each window is held longer than the turn lasts.
    parent.say(turn=1, seconds=1.0, limit=600)
    assert parent.hear()["attempts"] == 1
    done = control.wait_for(ReportKind.HANDED_BACK)

    control.forget_visits()
    control.send(control.next_attempt(spec, windows=done.windows_done, step=done.step_saved))
    parent.say(turn=2, seconds=60, limit=600)
    assert parent.hear()["turn"] == 2
    assert control.visits()[0][0] == done.windows_done < 2
    control.wait_for(ReportKind.SUCCEEDED)


def test_a_request_that_is_withdrawn_ends_its_turn(parent: Parent, control: Control) -> None:
    control.send(control.spec(simulate="slow"))
    parent.say(turn=1, seconds=60, limit=600)
    control.wait_for(ReportKind.WINDOW)
    parent.say(end=1)
    assert parent.hear()["turn"] == 1
    control.wait_for(ReportKind.HANDED_BACK)


def test_a_worker_whose_parent_dies_hands_back_what_it_has_in_work(parent: Parent, control: Control) -> None:
    control.send(control.spec(simulate="slow"))
    parent.say(turn=1, seconds=60, limit=600)
    control.wait_for(ReportKind.WINDOW)
    parent.leave()
    control.wait_for(ReportKind.HANDED_BACK)


def test_a_turn_ends_where_the_next_step_would_outlast_its_limit(parent: Parent, control: Control) -> None:
    control.send(control.spec(simulate="slow"))  # The step behind the first window takes two seconds.
    parent.say(turn=1, seconds=60, limit=HAND_BACK_SECONDS + 1.0)
    assert parent.hear()["attempts"] == 1
    done = control.wait_for(ReportKind.HANDED_BACK)
    assert done.windows_done < 2  # On a slow machine the first window takes all of the turn.


def test_a_step_that_outlasts_its_turn_is_left_with_the_state_before_it(control: Control) -> None:
    ours, theirs = socket.socketpair()
    with (
        theirs,
        WorkerProcess(control, "--turns", str(theirs.fileno()), pass_fds=[theirs.fileno()]) as process,
    ):
        theirs.close()
        parent = Parent(ours)
        parent.hear()
        (control.gates / "hold-0-0").touch()  # The first step of a turn is begun whatever it takes.
        control.send(control.spec())
        parent.say(turn=1, seconds=60, limit=LIMIT_SECONDS + 2.0)
        done = control.wait_for(ReportKind.HANDED_BACK)
        assert process.wait(60) == 0
        assert (done.windows_done, done.step_saved) == (0, True)
        parent.leave()
