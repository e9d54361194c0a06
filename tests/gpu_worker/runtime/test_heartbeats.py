"""What a worker says of itself by its heartbeat, and who notices when it is gone."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gpu_worker import tasks
from gpu_worker.contract import heartbeats
from gpu_worker.contract.heartbeats import Heartbeat, Process
from gpu_worker.contract.spec import ReportKind
from gpu_worker.runtime import heartbeat, neighbours
from gpu_worker.runtime.context import WorkerContext
from tests.gpu_worker.playing_control import JOB, Control, WorkerProcess, wait_until


def heartbeat_of(control: Control) -> Heartbeat:
    ((_, heard),) = heartbeats.read_all(control.redis).items()
    return heard.heartbeat


def is_free(control: Control) -> bool:
    return any(heard.heartbeat.is_free for heard in heartbeats.read_all(control.redis).values())


def test_a_worker_is_free_from_its_start_until_it_has_a_job_and_after_it(control: Control) -> None:
    control.hold(0, 1)
    with WorkerProcess(control) as worker:
        wait_until(lambda: is_free(control), "a free worker")
        spec = control.send(control.spec())
        control.wait_at(0, 1)
        busy = heartbeat_of(control)
        assert (busy.is_free, busy.attempts) == (False, ((spec.job_id, spec.attempt),))
        control.release(0, 1)
        control.wait_for(ReportKind.SUCCEEDED)
        wait_until(lambda: is_free(control), "a free worker")
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
    assert heartbeats.read_all(control.redis) == {}
    assert heartbeats.read_gone(control.redis, [busy.name]) == {busy.name}


def test_an_attempt_is_named_as_long_as_its_reports_wait_for_redis(
    worker: WorkerContext, control: Control
) -> None:
    with heartbeat.sending(worker, os.getpid()):
        tasks.render(control.spec().to_dict())
        assert heartbeat_of(control).attempts in ((), ((JOB, 1),))
        worker.outbox.flush(10)
        assert worker.heartbeat(None).attempts == ()


def test_how_long_nothing_has_changed_is_counted_from_the_last_change(worker: WorkerContext) -> None:
    worker.heartbeat(None)
    worker._last_changed -= 100
    assert worker.heartbeat(None).same_for_seconds >= 100
    worker.take_jobs(True)
    assert worker.heartbeat(None).same_for_seconds < 100


def test_the_next_worker_notices_that_the_one_before_was_killed(control: Control) -> None:
    control.hold(0, 1)
    control.send(control.spec())
    with WorkerProcess(control) as killed:
        control.wait_at(0, 1)
        lost = heartbeat_of(control)
        killed.signal(signal.SIGKILL)
        killed.wait()
    control.release(0, 1)
    with WorkerProcess(control):
        wait_until(lambda: heartbeats.read_gone(control.redis, [lost.name]), "the word that it is gone")


@pytest.fixture
def neighbour() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def beat(control: Control, process: Process) -> None:
    heartbeats.write(control.redis, Heartbeat("neighbour", "preview", True, (), False, 0.0, process))


def is_gone(control: Control, here: Process) -> bool:
    neighbours.declare_gone(control.redis, here)
    return bool(heartbeats.read_gone(control.redis, ["neighbour"]))


def test_only_a_process_that_has_ended_is_gone(control: Control, neighbour: subprocess.Popen[bytes]) -> None:
    here = neighbours.this_process()
    assert here is not None
    theirs = replace(here, pid=neighbour.pid, started=neighbours.started_at(neighbour.pid))
    beat(control, theirs)
    assert not is_gone(control, here)
    beat(control, replace(theirs, machine="another"))
    neighbour.kill()
    neighbour.wait()
    assert not is_gone(control, here)
    beat(control, theirs)
    assert is_gone(control, here)


def test_a_process_that_nobody_has_waited_for_is_gone(
    control: Control, neighbour: subprocess.Popen[bytes]
) -> None:
    here = neighbours.this_process()
    assert here is not None
    beat(control, replace(here, pid=neighbour.pid, started=neighbours.started_at(neighbour.pid)))
    neighbour.kill()
    wait_until(lambda: is_gone(control, here), "the word that it is gone")
    neighbour.wait()


def test_a_number_that_another_process_has_by_now_is_gone(control: Control) -> None:
    here = neighbours.this_process()
    assert here is not None
    beat(control, replace(here, started=here.started - 1))
    assert is_gone(control, here)


def test_a_container_that_was_started_again_is_gone_once_its_heartbeat_is_overdue(control: Control) -> None:
    here = neighbours.this_process()
    assert here is not None
    beat(control, replace(here, namespace="1"))
    assert not is_gone(control, here)
    control.redis.expire("worker:heartbeat:neighbour", 40)
    assert is_gone(control, here)


def test_a_heartbeat_is_sent_at_once_when_a_job_begins_and_ends(
    worker: WorkerContext, control: Control
) -> None:
    told: list[bool] = []
    worker.on_change = lambda: told.append(worker.heartbeat(None).rendering)
    thread = threading.Thread(target=tasks.render, args=(control.spec().to_dict(),))
    thread.start()
    thread.join()
    assert told == [True, False]
