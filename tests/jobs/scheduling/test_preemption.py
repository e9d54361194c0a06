"""When a render gives its worker up for others, and what comes of it."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.core.files.storage import default_storage
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from accounts.models import Organization
from gpu_worker import tasks
from gpu_worker.contract import coordination
from gpu_worker.contract.coordination import Stop
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.lanes import lane_of
from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.queues import render_queue, report_queue
from gpu_worker.contract.spec import RenderReport, ReportKind
from jobs.lifecycle import transitions
from jobs.models import Job
from jobs.scheduling import dispatch
from jobs.scheduling.autoscaling import status
from jobs.scheduling.autoscaling.runpod import Health, Workers
from jobs.scheduling.autoscaling.status import EndpointStatus
from jobs.scheduling.preemption import end_slices
from jobs.tasks import record
from tests import factories
from tests.gpu_worker.playing_control import Control, host_here, wait_until
from tests.jobs.clients import form, keyed, png, wav
from tests.jobs.render_workers import begin, end, register

pytestmark = pytest.mark.usefixtures("redis")


@pytest.fixture
def globex(db: None) -> Organization:
    return factories.organization("Globex")


@pytest.fixture
def running(acme: Organization, redis: Redis) -> Job:
    """A long render on the only worker."""
    register(redis, 1)
    return begun(acme, redis)


def begun(organization: Organization, redis: Redis) -> Job:
    factories.job(organization, num_frames=25 * 600)
    assert dispatch.dispatch_jobs() == 1
    (job,) = begin(redis)
    return job


@contextmanager
def later(settings: Settings, slices: float = 1.1) -> Iterator[None]:
    """After so many slices, seen from when the block begins."""
    with time_machine.travel(timezone.now() + timedelta(seconds=slices * settings.YIELD_AFTER_SECONDS)):
        yield


def stop_of(redis: Redis, job: Job) -> Stop | None:
    control = coordination.read_control(redis, job.id)
    assert control is not None
    return control.stop


def hand_back(job: Job) -> None:
    assert transitions.hand_back(job.id, job.attempt, "", 130.0)


def test_a_long_render_is_asked_to_yield_to_another_tenant(
    running: Job, initech: Organization, redis: Redis, settings: Settings
) -> None:
    factories.job(initech)
    with later(settings):
        assert end_slices() == 1
        assert stop_of(redis, running) is Stop.YIELD


def test_what_took_its_worker_is_next_and_then_the_render_goes_on(
    running: Job, initech: Organization, redis: Redis, settings: Settings
) -> None:
    one = factories.job(initech)
    with later(settings):
        end_slices()
        hand_back(running)
        dispatch.dispatch_jobs()
        (began,) = begin(redis)
        assert began == one
        end(began)
        dispatch.dispatch_jobs()
        assert begin(redis) == [running]
    running.refresh_from_db()
    assert (running.losses, running.gpu_seconds, running.charged_seconds) == (0, 130.0, 0)


def test_nobody_is_interrupted_before_its_slice_is_over(
    running: Job, initech: Organization, settings: Settings
) -> None:
    factories.job(initech)
    with later(settings, 0.9):
        assert end_slices() == 0


def test_nobody_is_interrupted_for_a_job_of_its_own_tenant(
    running: Job, acme: Organization, settings: Settings
) -> None:
    factories.job(acme, num_frames=50)
    with later(settings):
        assert end_slices() == 0


def test_nobody_is_interrupted_while_a_worker_is_free(
    running: Job, initech: Organization, redis: Redis, settings: Settings
) -> None:
    register(redis, 1)
    factories.job(initech)
    with later(settings):
        assert end_slices() == 0


def test_nobody_is_interrupted_for_a_tenant_that_has_all_it_may_have(
    running: Job, initech: Organization, redis: Redis, settings: Settings
) -> None:
    register(redis, 1)
    initech.test_plan.concurrent_jobs = 1
    initech.test_plan.save()
    begun(initech, redis)
    factories.job(initech)
    with later(settings, 0.9):
        assert end_slices() == 0


def test_a_render_that_its_customer_cancels_is_not_asked_to_yield(
    running: Job, initech: Organization, settings: Settings
) -> None:
    factories.job(initech)
    transitions.request_cancel(running.id)
    with later(settings):
        assert end_slices() == 0


def test_a_render_that_nobody_waits_for_has_its_next_slice(
    running: Job, initech: Organization, settings: Settings
) -> None:
    with later(settings):
        assert end_slices() == 0
        factories.job(initech)
        assert end_slices() == 0
    with later(settings, 2.2):
        assert end_slices() == 1


def test_three_long_renders_share_one_worker(
    running: Job, initech: Organization, globex: Organization, redis: Redis, settings: Settings
) -> None:
    for organization in (initech, globex):
        factories.job(organization, num_frames=25 * 600)
    seen = [running]
    for turn in range(1, 12):
        with later(settings, 1.1 * turn):
            if end_slices():
                hand_back(seen[-1])
                dispatch.dispatch_jobs()
                seen += begin(redis)
            else:
                seen.append(seen[-1])
    assert set(Counter(seen).values()) == {4}
    assert all(len(set(seen[turn : turn + 5])) == 3 for turn in range(len(seen) - 4))


def test_the_tenant_that_has_most_yields_first(
    running: Job,
    acme: Organization,
    initech: Organization,
    globex: Organization,
    redis: Redis,
    settings: Settings,
) -> None:
    register(redis, 2)
    second, third = begun(acme, redis), begun(initech, redis)
    factories.job(globex)
    with later(settings):
        assert end_slices() == 1
        assert [stop_of(redis, job) for job in (running, second, third)] == [None, Stop.YIELD, None]


def test_workers_are_shared_out_and_then_nobody_is_interrupted_any_more(
    running: Job, acme: Organization, initech: Organization, redis: Redis, settings: Settings
) -> None:
    acme.test_plan.concurrent_jobs = 4
    acme.test_plan.save()
    register(redis, 3)
    mine = [running, *(begun(acme, redis) for _ in range(3))]
    for _ in range(4):
        factories.job(initech, num_frames=25 * 600)
    with later(settings):
        assert end_slices() == 2
        for job in mine:
            if stop_of(redis, job) is Stop.YIELD:
                hand_back(job)
        dispatch.dispatch_jobs()
        assert {job.organization for job in begin(redis)} == {initech}
    with later(settings, 2.2):
        assert end_slices() == 0


def test_a_job_that_was_sent_and_finds_no_worker_has_a_right_to_one(
    running: Job, acme: Organization, initech: Organization, redis: Redis, settings: Settings
) -> None:
    register(redis, 1)  # It died, and RQ hasn't noticed.
    sent = factories.job(initech)
    dispatch.dispatch_jobs()
    with later(settings):
        assert end_slices() == 1
    sent.refresh_from_db()
    assert sent.dispatched_at is not None


class TestWorkersOnDemand:
    """Of a RunPod endpoint with two workers at most."""

    @pytest.fixture(autouse=True)
    def _endpoint(self, acme: Organization, initech: Organization, redis: Redis, settings: Settings) -> None:
        settings.RUNPOD_ENDPOINT_ID, settings.RUNPOD_MAX_WORKERS = "endpoint", 2
        register(redis, 1, EngineName.INFINITETALK)
        live = {"livemode": True, "engine": EngineName.INFINITETALK, "num_frames": 25 * 600}
        factories.job(acme, **live)
        dispatch.dispatch_jobs()
        begin(redis, EngineName.INFINITETALK)
        factories.job(initech, **live)

    @pytest.mark.parametrize(
        ("health", "asked"),
        [
            (Health(0, 1, Workers(running=1)), 0),
            (Health(1, 1, Workers(running=1, initializing=1)), 1),
            (Health(0, 1, Workers(running=1, throttled=1)), 1),
            (None, 1),
        ],
        ids=["one_may_come", "all_were_asked_for", "none_to_be_had", "nobody_knows"],
    )
    def test_nobody_is_interrupted_while_another_worker_can_be_had(
        self, redis: Redis, settings: Settings, health: Health | None, asked: int
    ) -> None:
        with later(settings):
            status.save(redis, EndpointStatus(time.time(), health))
            assert end_slices() == asked


def test_a_render_that_yields_goes_on_where_it_was_and_makes_the_same_video(
    acme: Organization, initech: Organization, redis: Redis, settings: Settings, store: Path, tmp_path: Path
) -> None:
    """The whole way, with a worker beside the test that holds at the step at which it is asked."""
    control = Control(settings.REDIS_URL, tmp_path / "worker")
    control.storage = default_storage
    keyed(factories.key(acme)).post("/v1/jobs", form(png(256, 320), wav(5.0)))
    register(redis, 1)
    with host_here(control) as worker:
        control.hold(1, 2)
        dispatch.dispatch_jobs()
        with rendering(redis):
            control.wait_at(1, 2)
            take_down_until(redis, ReportKind.WINDOW)
            keyed(factories.key(initech)).post("/v1/jobs", form(png(256, 320), wav(0.5)))
            with later(settings):
                assert end_slices() == 1
            wait_until(lambda: worker.attempt and worker.attempt.channel.stopping.is_set(), "the request")
            control.release(1, 2)
        take_down_until(redis, ReportKind.HANDED_BACK)
        control.forget_visits()
        for owner in (initech, acme):
            dispatch.dispatch_jobs()
            with rendering(redis):
                pass
            take_down_until(redis, ReportKind.SUCCEEDED)
            assert owner.jobs.get().status == "succeeded"
    job = acme.jobs.get()
    assert control.visits() == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 3)]
    assert (job.attempt, job.losses, job.output["num_frames"]) == (2, 0, 125)
    assert [prefix[-3:] for prefix in job.window_prefixes] == ["a1/", "a2/"]
    assert job.gpu_seconds > Job.objects.get(organization=initech).gpu_seconds


@contextmanager
def rendering(redis: Redis) -> Iterator[None]:
    """A worker takes what was sent, and renders it beside the test to its end."""
    queue = render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), redis)
    (entry,) = queue.jobs
    queue.empty()
    thread = threading.Thread(target=tasks.render, args=entry.args)
    thread.start()
    yield
    thread.join()


def take_down_until(redis: Redis, kind: ReportKind) -> None:
    """Record what the worker reports, up to a report of this kind."""
    while True:
        (entry,) = wait_until(lambda: report_queue(redis).get_jobs(0, 1), f"the report {kind}")
        report_queue(redis).remove(entry)
        record(entry.args[0])
        if RenderReport.from_dict(entry.args[0]).kind is kind:
            return
