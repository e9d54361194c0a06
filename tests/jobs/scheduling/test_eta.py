"""What a job is told of its place in the queue and of the time until its end."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from redis import Redis
from rest_framework.test import APIClient

from accounts.limits import effective_limits, limit_in_sql
from accounts.models import Organization
from gpu_worker.contract import coordination
from gpu_worker.contract.coordination import Progress
from jobs.lifecycle import transitions
from jobs.models import Job
from jobs.scheduling import dispatch, eta, window_times
from jobs.scheduling.eta import LiveStatus
from tests import factories
from tests.jobs.clients import keyed
from tests.jobs.render_workers import begin, end, register

pytestmark = pytest.mark.usefixtures("redis", "store")

WINDOWS = 5
LONG = 81 + (WINDOWS - 1) * 72
KIND = window_times.RenderKind("preview", "fast", "480p")


@pytest.fixture
def _no_time_passes() -> Iterator[None]:
    with time_machine.travel(timezone.now(), tick=False):
        yield


@pytest.fixture(autouse=True)
def _measured(acme: Organization, redis: Redis) -> None:
    """A window takes ten seconds here."""
    factories.ended_jobs(acme, 3, gpu_seconds=50.0, num_frames=LONG)
    window_times.publish(redis)


@pytest.fixture
def running(acme: Organization, redis: Redis) -> Job:
    """A job of five windows that the only worker has just begun."""
    register(redis, 1)
    factories.job(acme, num_frames=LONG)
    dispatch.dispatch_jobs()
    (job,) = begin(redis)
    return job


def prospect(job: Job) -> LiveStatus:
    job.refresh_from_db()
    return eta.live_status_of([job])[job.id]


def progress(redis: Redis, job: Job, fraction: float, attempt: int = 1) -> None:
    window = int(fraction * WINDOWS)
    coordination.write_progress(redis, job.id, Progress(attempt, "sampling", window, WINDOWS, 0, 4, fraction))


def after(seconds: float) -> time_machine.travel:
    return time_machine.travel(timezone.now() + timedelta(seconds=seconds), tick=False)


class TestPlaces:
    def test_they_are_those_in_which_dispatch_sends(
        self, acme: Organization, initech: Organization, redis: Redis
    ) -> None:
        initech.test_plan = factories.plan_like(initech.test_plan, "heavy", weight=3)
        initech.save()
        register(redis, 1)
        jobs = [factories.job(of) for of in (acme, acme, acme, acme, initech, initech, initech, initech)]
        told = {job.id: prospect(job).queue_position for job in jobs}
        sent = []
        while dispatch.dispatch_jobs():
            (job,) = begin(redis)
            end(job)
            sent.append(job.id)
        assert [told[job_id] for job_id in sent] == list(range(1, 9))

    def test_those_of_a_job_that_might_come_are_those_that_it_then_has(
        self, acme: Organization, initech: Organization, redis: Redis
    ) -> None:
        register(redis, 1)
        for of in (acme, initech, initech):
            factories.job(of)
        row = factories.job_row(acme)
        expected = eta.expected_of(row)
        row.save(force_insert=True)
        assert expected == prospect(row)
        assert expected.queue_position

    def test_a_job_that_was_sent_and_not_begun_comes_before_those_that_wait(
        self, acme: Organization, redis: Redis
    ) -> None:
        first, second = factories.job(acme), factories.job(acme)
        dispatch.dispatch_jobs()
        assert [prospect(first).queue_position, prospect(second).queue_position] == [1, 2]

    def test_a_job_that_is_rendered_has_none(self, running: Job) -> None:
        assert prospect(running).queue_position is None

    def test_a_job_whose_files_are_fetched_stands_in_no_queue(self, acme: Organization) -> None:
        job = factories.job(acme, urls={"audio": "https://files.example/a.wav"}, num_frames=0, windows=0)
        assert prospect(job) == LiveStatus()

    def test_jobs_of_a_suspended_organization_are_in_nobodys_way(
        self, acme: Organization, initech: Organization
    ) -> None:
        factories.job(initech)
        initech.suspended_at = timezone.now()
        initech.save()
        assert prospect(factories.job(acme)).queue_position == 1

    def test_they_are_known_while_redis_is_away(self, acme: Organization, settings: object) -> None:
        settings.REDIS_URL = "redis://127.0.0.1:1/0"  # type: ignore[attr-defined]
        factories.job(acme)
        assert prospect(factories.job(acme)) == LiveStatus(None, 2, None)


@pytest.mark.usefixtures("_no_time_passes")
class TestTimes:
    def test_a_job_that_waits_has_those_before_it_and_itself_to_wait_for(
        self, running: Job, acme: Organization, redis: Redis
    ) -> None:
        waiting = factories.job(acme, num_frames=2 * 72)
        assert prospect(waiting).eta_seconds == pytest.approx(50 + 20, abs=1)

    def test_nothing_is_claimed_where_there_is_no_worker(self, acme: Organization) -> None:
        assert prospect(factories.job(acme)) == LiveStatus(None, 1, None)

    def test_at_its_start_a_render_takes_what_others_took(self, running: Job, redis: Redis) -> None:
        progress(redis, running, 0.0)
        assert prospect(running).eta_seconds == pytest.approx(50, abs=1)

    def test_later_it_goes_on_at_its_own_pace(self, running: Job, redis: Redis) -> None:
        progress(redis, running, 0.5)
        with after(100):
            assert prospect(running).eta_seconds == pytest.approx(0.5 * 105 / 0.6, abs=1)

    def test_windows_of_earlier_attempts_say_nothing_of_this_ones_pace(
        self, running: Job, redis: Redis
    ) -> None:
        transitions.finish_window(running.id, 1, 2, f"org/x/jobs/{running.id}/a1/", 100.0)
        transitions.hand_back(running.id, 1, "", 100.0)
        dispatch.dispatch_jobs()
        begin(redis)
        progress(redis, running, 0.4, attempt=2)
        assert prospect(running).eta_seconds == pytest.approx(0.6 * 50, abs=1)

    def test_progress_of_an_older_attempt_is_no_progress(self, running: Job, redis: Redis) -> None:
        progress(redis, running, 0.9, attempt=0)
        assert prospect(running) == LiveStatus()

    def test_a_render_that_will_yield_waits_for_what_takes_its_worker(
        self, running: Job, initech: Organization, redis: Redis, settings: object
    ) -> None:
        settings.YIELD_AFTER_SECONDS = 20  # type: ignore[attr-defined]
        progress(redis, running, 0.0)
        factories.job(initech, num_frames=81)
        assert prospect(running).eta_seconds == pytest.approx(50 + 10, abs=1)

    def test_before_anything_was_measured_the_time_is_computed(self, running: Job, redis: Redis) -> None:
        redis.delete(window_times.KEY)
        progress(redis, running, 0.0)
        expected = WINDOWS * window_times.counted_per_window(KIND)
        assert prospect(running).eta_seconds == pytest.approx(expected, abs=1)


class TestReading:
    def test_a_job_that_is_rendered_is_read_with_three_queries_at_most(
        self,
        running: Job,
        acme: Organization,
        redis: Redis,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        client = keyed(factories.key(acme))
        client.get("/v1/me")
        progress(redis, running, 0.5)
        with django_assert_max_num_queries(3):
            shown = client.get(f"/v1/jobs/{running.id}").json()
        assert (shown["queue_position"], shown["eta_seconds"] > 0) == (None, True)

    def test_the_time_that_passes_does_not_change_the_tag(
        self, running: Job, acme: Organization, redis: Redis
    ) -> None:
        client: APIClient = keyed(factories.key(acme))
        progress(redis, running, 0.5)
        first = client.get(f"/v1/jobs/{running.id}")
        with after(5):
            again = client.get(f"/v1/jobs/{running.id}", headers={"if-none-match": first["ETag"]})
        assert again.status_code == 304


@pytest.mark.parametrize("livemode", [True, False])
@pytest.mark.parametrize("override", [None, 7])
def test_limits_are_the_same_in_sql(acme: Organization, override: int | None, livemode: bool) -> None:
    acme.weight = override
    acme.test_plan = factories.plan_like(acme.plan, "other", weight=3)
    acme.save()
    plan = "plan_id" if livemode else "test_plan_id"
    (found,) = Organization.objects.raw(
        f"SELECT organization.id, {limit_in_sql('weight', str(livemode))} AS found "
        f"FROM accounts_organization AS organization JOIN accounts_plan AS plan ON plan.code = {plan}"
    )
    assert found.found == effective_limits(acme, livemode=livemode).weight
