"""A render whose worker lives and makes no progress ends; one that does goes on for as long as it takes."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from redis import Redis

from accounts.models import Organization
from gpu_worker.contract import coordination
from gpu_worker.contract.coordination import Stop
from jobs.lifecycle import transitions
from jobs.models import Job
from jobs.operations import stuck_renders
from jobs.states import Status
from tests import factories

pytestmark = pytest.mark.usefixtures("store")
HOUR = timedelta(hours=1)


def rendering(organization: Organization, redis: Redis, **fields: Any) -> Job:
    job = factories.job(organization, attempt=1, dispatched_at=timezone.now(), **fields)
    coordination.announce_attempt(redis, job.id, 1)
    assert transitions.start(job.id, 1)
    return job


def later(job: Job, redis: Redis, passed: timedelta) -> Job:
    with time_machine.travel(timezone.now() + passed, tick=False):
        stuck_renders.time_out(redis)
    job.refresh_from_db()
    return job


def test_without_a_window_in_an_hour_a_preview_is_given_up(acme: Organization, redis: Redis) -> None:
    job = rendering(acme, redis)
    assert later(job, redis, 0.99 * HOUR).status == Status.PROCESSING
    ended = later(job, redis, 1.01 * HOUR)
    assert (ended.status, ended.error_code) == (Status.FAILED, "timed_out")
    assert ended.error_detail == "The render made no progress in 60 minutes."
    control = coordination.read_control(redis, job.id)
    assert control is not None
    assert control.stop is Stop.CANCEL


def test_each_finished_window_gives_it_more_time(acme: Organization, redis: Redis) -> None:
    job = rendering(acme, redis, num_frames=400, windows=6)
    with time_machine.travel(timezone.now() + 0.9 * HOUR, tick=False):
        assert transitions.finish_window(job.id, 1, 1, "prefix/", 1.0)
    assert later(job, redis, 1.8 * HOUR).status == Status.PROCESSING
    assert later(job, redis, 2 * HOUR).status == Status.FAILED


def test_windows_that_take_long_may_take_ten_times_as_long(acme: Organization, redis: Redis) -> None:
    """One of `quality` at 720p takes more than an hour."""
    job = rendering(acme, redis, livemode=True, engine="infinitetalk", preset="quality", resolution="720p")
    assert later(job, redis, 5 * HOUR).status == Status.PROCESSING
    assert later(job, redis, 48 * HOUR).status == Status.FAILED


def test_a_job_that_waits_goes_on_waiting(acme: Organization, redis: Redis) -> None:
    job = factories.job(acme)
    assert later(job, redis, 48 * HOUR).status == Status.QUEUED
