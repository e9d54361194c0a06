"""What a worker does when control wants an attempt to stop."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gpu_worker import tasks
from gpu_worker.contract import coordination, storage_keys
from gpu_worker.contract.coordination import Stop
from gpu_worker.contract.spec import RenderSpec, ReportKind
from gpu_worker.runtime import rq_worker
from gpu_worker.runtime.context import WorkerContext
from tests.gpu_worker.playing_control import JOB, Control, wait_until


@contextmanager
def rendering(control: Control, spec: RenderSpec, window: int, step: int) -> Iterator[None]:
    """Render `spec` beside the test, held at a step until the block ends; then wait for its end."""
    control.hold(window, step)
    coordination.announce_attempt(control.redis, spec.job_id, spec.attempt)
    thread = threading.Thread(target=tasks.render, args=(spec.to_dict(),))
    thread.start()
    control.wait_at(window, step)
    yield
    control.release(window, step)
    thread.join()


def ask(worker: WorkerContext, control: Control, stop: Stop) -> None:
    """Request a stop, and wait until the worker has heard of it."""
    coordination.request_stop(control.redis, JOB, stop)
    wait_until(lambda: worker.attempt and worker.attempt.channel.stopping.is_set(), "the request's arrival")


def test_a_cancel_within_a_step_ends_the_attempt_at_the_end_of_that_step(
    worker: WorkerContext, control: Control
) -> None:
    with rendering(control, control.spec(), 1, 1):
        ask(worker, control, Stop.CANCEL)

    canceled = control.wait_for(ReportKind.CANCELED)
    assert canceled.windows_done == 1
    assert control.visits()[-1] == (1, 1)


def test_a_yield_hands_back_what_the_window_has_so_far(worker: WorkerContext, control: Control) -> None:
    spec = control.spec()
    with rendering(control, spec, 0, 1):
        ask(worker, control, Stop.YIELD)

    handed_back = control.wait_for(ReportKind.HANDED_BACK)
    assert (handed_back.windows_done, handed_back.step_saved) == (0, True)
    assert control.storage.exists(storage_keys.step_state(spec.prefix))


def test_after_a_yield_the_worker_takes_the_next_job_and_later_goes_on_with_the_one_that_yielded(
    worker: WorkerContext, control: Control
) -> None:
    tasks.render((undisturbed := control.spec(1)).to_dict())

    control.hold(1, 2)
    first = control.send(control.spec(2))
    other_prefix = storage_keys.attempt_prefix("org_1", "job_2", 1)
    control.send(other := control.spec(job_id="job_2", prefix=other_prefix, seed=8))

    def ask_in_mid_window() -> None:
        control.wait_at(1, 2)
        ask(worker, control, Stop.YIELD)
        control.release(1, 2)

    asking = threading.Thread(target=ask_in_mid_window)
    asking.start()
    rq_worker.serve(worker, control.redis_url, idle_seconds=0)
    asking.join()
    assert control.wait_for(ReportKind.HANDED_BACK).job_id == JOB
    assert control.wait_for(ReportKind.SUCCEEDED).job_id == "job_2"
    assert control.frames(other) != control.frames(undisturbed)

    control.forget_visits()
    resumed = control.send(control.next_attempt(first, windows=1, step=True))
    rq_worker.serve(worker, control.redis_url, idle_seconds=0)
    assert control.visits() == [(1, 3)]
    assert control.frames(resumed) == control.frames(undisturbed)


def test_a_superseded_attempt_leaves_without_a_word(worker: WorkerContext, control: Control) -> None:
    with rendering(control, control.spec(), 0, 1):
        coordination.announce_attempt(control.redis, JOB, 2)
        wait_until(lambda: worker.attempt and worker.attempt.channel.superseded, "the news")

    assert worker.outbox.flush(10)
    assert [report.kind for report in control.reports()] == [ReportKind.STARTED]
    assert not control.storage.exists("org/org_1/jobs/job_1/a1")


def test_an_attempt_that_was_superseded_in_the_queue_does_nothing(
    worker: WorkerContext, control: Control
) -> None:
    coordination.announce_attempt(control.redis, JOB, 2)
    tasks.render(control.spec().to_dict())

    assert worker.outbox.flush(10)
    assert control.reports() == []
    assert control.visits() == []


@pytest.mark.usefixtures("worker")
def test_an_attempt_canceled_in_the_queue_says_so(control: Control) -> None:
    coordination.announce_attempt(control.redis, JOB, 1)
    coordination.request_stop(control.redis, JOB, Stop.CANCEL)
    tasks.render(control.spec().to_dict())

    control.wait_for(ReportKind.CANCELED)
    assert control.visits() == []


@pytest.mark.usefixtures("worker")
def test_a_job_that_redis_has_forgotten_is_rendered(control: Control) -> None:
    tasks.render(control.spec().to_dict())

    control.wait_for(ReportKind.SUCCEEDED)


def test_steps_of_an_earlier_attempt_survive_one_that_is_stopped_before_it_begins(
    worker: WorkerContext, control: Control
) -> None:
    first = control.spec()
    with rendering(control, first, 1, 2):
        ask(worker, control, Stop.YIELD)
    control.wait_for(ReportKind.HANDED_BACK)
    control.forget_reports()

    second = control.next_attempt(first, windows=1, step=True)
    coordination.announce_attempt(control.redis, JOB, 2)
    coordination.request_stop(control.redis, JOB, Stop.YIELD)
    tasks.render(second.to_dict())

    assert control.wait_for(ReportKind.HANDED_BACK).step_saved
    first_state, second_state = (control.read(storage_keys.step_state(a.prefix)) for a in (first, second))
    assert first_state == second_state


def test_a_slow_job_can_be_stopped_while_a_window_is_held(worker: WorkerContext, control: Control) -> None:
    coordination.announce_attempt(control.redis, JOB, 1)
    thread = threading.Thread(target=tasks.render, args=(control.spec(simulate="slow").to_dict(),))
    thread.start()
    control.wait_for(ReportKind.WINDOW)
    coordination.request_stop(control.redis, JOB, Stop.CANCEL)
    thread.join()

    assert control.wait_for(ReportKind.CANCELED).windows_done == 1
    assert control.visits()[-1] == (0, 3)


def test_the_lease_is_held_while_a_step_takes_its_time(worker: WorkerContext, control: Control) -> None:
    with rendering(control, control.spec(), 0, 1):
        assert coordination.read_leases(control.redis, [(JOB, 1)]) != [None]
        assert (
            control.redis.ttl(f"lease:{JOB}:1")
            > coordination.LEASE_SECONDS - coordination.HEARTBEAT_SECONDS - 1
        )
