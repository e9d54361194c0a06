"""Releases side by side: a job is sent in words that its worker reads, and goes on as it began."""

from dataclasses import replace
from typing import Any

from redis import Redis

from accounts.models import Organization
from gpu_worker.contract.coordination import WorkerFacts, write_worker
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.lanes import lane_of
from gpu_worker.contract.presets import PRESETS, PresetName, Resolution
from gpu_worker.contract.queues import render_queue
from gpu_worker.contract.spec import RenderSpec
from jobs.models import Job
from jobs.scheduling import dispatch
from tests import factories
from tests.jobs.render_workers import register

FACTS = WorkerFacts("worker", "preview", "cpu", 0, 0, 1, None, None, None, None, 0, 0)
SAMPLING = PRESETS[PresetName.FAST].sampling(Resolution.P480)


def heartbeat(redis: Redis, *versions: int) -> None:
    """Workers that read specs up to these versions, and no others."""
    redis.delete("workers")
    for number, version in enumerate(versions):
        write_worker(redis, replace(FACTS, name=f"worker-{number}", spec_version=version))


def send(redis: Redis, *, saved: bool = True) -> dict[str, Any] | None:
    """The spec that is sent next, as JSON; what was sent before was handed back, with a step or without."""
    queue = render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), redis)
    queue.empty()
    step_prefix = "org/o/jobs/j/a1/" if saved else ""
    Job.objects.filter(attempt__gt=0).update(dispatched_at=None, step_prefix=step_prefix)
    dispatch.dispatch_jobs()
    return queue.jobs[0].args[0] if queue.jobs else None


def test_where_all_workers_read_it_a_job_is_sent_in_the_newest_version(
    acme: Organization, redis: Redis
) -> None:
    job = factories.job(acme, preset="fast", resolution="480p")
    heartbeat(redis, 2, 3)
    data = send(redis)
    assert data is not None
    assert RenderSpec.from_dict(data).sampling == SAMPLING
    job.refresh_from_db()
    assert job.sampling["timesteps"] == list(SAMPLING.timesteps)


def test_an_old_worker_gets_the_words_that_it_knows(acme: Organization, redis: Redis) -> None:
    factories.job(acme)
    heartbeat(redis, 1, 2)
    data = send(redis)
    assert data is not None
    assert data["version"] == 1
    assert not {"sampling", "crop"} & data.keys()


def test_a_job_that_began_with_an_old_worker_goes_on_without_timesteps(
    acme: Organization, redis: Redis
) -> None:
    factories.job(acme)
    heartbeat(redis, 1)
    send(redis)
    heartbeat(redis, 2)
    data = send(redis)
    assert data is not None
    spec = RenderSpec.from_dict(data)
    assert (spec.attempt, spec.version, spec.sampling) == (2, 2, None)


def test_a_job_that_began_with_a_new_worker_waits_for_another_one(acme: Organization, redis: Redis) -> None:
    register(redis, 1)
    job = factories.job(acme)
    heartbeat(redis, 2)
    send(redis)
    heartbeat(redis, 1)
    assert send(redis) is None
    other = factories.job(acme)
    sent = send(redis)
    assert sent is not None
    assert sent["job_id"] == other.id
    other.delete()

    heartbeat(redis, 1, 2)
    data = send(redis)
    assert data is not None
    assert (data["job_id"], data["version"]) == (job.id, 2)
    assert RenderSpec.from_dict(data).sampling == SAMPLING


def test_a_job_of_which_nothing_is_saved_is_sent_in_what_the_worker_reads_that_came(
    acme: Organization, redis: Redis
) -> None:
    """Dispatched while no worker was there, and refused by an old one."""
    job = factories.job(acme)
    data = send(redis)
    assert data is not None
    assert data["version"] == 2
    heartbeat(redis, 1)
    data = send(redis, saved=False)
    assert data is not None
    assert (data["job_id"], data["attempt"], data["version"]) == (job.id, 2, 1)


def test_a_job_keeps_the_timesteps_it_began_with_when_presets_change(
    acme: Organization, redis: Redis
) -> None:
    job = factories.job(acme)
    heartbeat(redis, 2)
    send(redis)
    began_with = {"timesteps": [1000.0, 500.0], "text_guidance_scale": 1.0, "audio_guidance_scale": 1.0}
    Job.objects.filter(pk=job.pk).update(sampling=began_with)
    data = send(redis)
    assert data is not None
    assert RenderSpec.from_dict(data).sampling.timesteps == (1000.0, 500.0)
