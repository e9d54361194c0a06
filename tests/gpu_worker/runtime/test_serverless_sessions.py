"""A worker on demand renders when it is told to, for as long as it is told to."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gpu_worker.contract.spec import ReportKind
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


@contextmanager
def session(control: Control, **environment: str) -> Iterator[Parent]:
    """A worker that has loaded its models; it ends when its parent is gone."""
    ours, theirs = socket.socketpair()
    arguments = ("--turns", str(theirs.fileno()))
    with theirs, WorkerProcess(control, *arguments, pass_fds=[theirs.fileno()], **environment) as process:
        theirs.close()
        parent = Parent(ours)
        assert parent.hear() == {"ready": True}
        yield parent
        parent.leave()
        assert process.wait() == 0


@pytest.fixture
def parent(control: Control) -> Iterator[Parent]:
    with session(control) as parent:
        yield parent


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
    # Three windows are held for two seconds each.
    spec = control.send(control.spec(seconds=9.0, simulate="slow"))
    parent.say(turn=1, seconds=3.0, limit=600)
    assert parent.hear()["attempts"] == 1
    done = control.wait_for(ReportKind.HANDED_BACK)

    control.forget_visits()
    control.send(control.next_attempt(spec, windows=done.windows_done, step=done.step_saved))
    parent.say(turn=2, seconds=60, limit=600)
    assert parent.hear()["turn"] == 2
    assert control.visits()[0][0] == done.windows_done < 3
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


def test_a_turn_without_time_for_another_step_ends_after_its_first(control: Control) -> None:
    with session(control, PAINTED_HAND_BACK_SECONDS="600") as parent:
        control.send(control.spec())
        parent.say(turn=1, seconds=600, limit=600)
        assert parent.hear()["attempts"] == 1
    done = control.wait_for(ReportKind.HANDED_BACK)
    assert (done.windows_done, done.step_saved) == (0, True)
    assert control.visits() == [(0, 0)]


def test_a_step_that_outlasts_its_turn_is_left_with_the_state_before_it(control: Control) -> None:
    (control.gates / "hold-0-0").touch()  # The first step of a turn is begun whatever it takes.
    control.send(control.spec())
    with session(control) as parent:
        parent.say(turn=1, seconds=60, limit=LIMIT_SECONDS + 5.0)
        done = control.wait_for(ReportKind.HANDED_BACK)
    assert (done.windows_done, done.step_saved) == (0, True)
