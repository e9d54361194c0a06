"""Which jobs are sent to the render queues, and in which order."""

from pytest_django import Settings
from redis import Redis

from accounts.models import Organization
from gpu_worker.contract import signals
from gpu_worker.contract.queues import render_queue
from gpu_worker.contract.spec import EngineName, RenderSpec
from jobs import dispatch
from tests import factories


def sent(redis: Redis) -> list[str]:
    return [rq_id.rsplit("-", 1)[0] for rq_id in render_queue(EngineName.PREVIEW, redis).job_ids]


def take_from_queue(redis: Redis) -> str:
    """What a worker does first: its entry leaves the queue."""
    queue = render_queue(EngineName.PREVIEW, redis)
    rq_id = queue.job_ids[0]
    queue.remove(rq_id)
    return rq_id


def test_a_ring_sends_one_job_while_no_worker_takes_it(acme: Organization, redis: Redis) -> None:
    first, _ = factories.job(acme), factories.job(acme)
    assert dispatch.ring() == 1
    assert dispatch.ring() == 0
    assert sent(redis) == [first.id]


def test_a_ring_is_a_new_attempt_with_a_spec_that_is_whole(acme: Organization, redis: Redis) -> None:
    job = factories.job(acme)
    dispatch.ring()
    job.refresh_from_db()
    (entry,) = render_queue(EngineName.PREVIEW, redis).jobs
    spec = RenderSpec.from_dict(entry.args[0])
    assert (spec.job_id, spec.attempt, job.attempt) == (job.id, 1, 1)
    assert dispatch.hash_token(spec.token) == job.token_hash
    assert signals.read_control(redis, job.id) == signals.Control(1, None)


def test_the_token_is_not_in_what_the_queue_describes(acme: Organization, redis: Redis) -> None:
    job = factories.job(acme)
    dispatch.ring()
    (entry,) = render_queue(EngineName.PREVIEW, redis).jobs
    assert entry.description == f"{job.id}-1"


def test_a_tenant_with_one_job_comes_before_the_second_of_a_tenant_with_many(
    acme: Organization, initech: Organization, redis: Redis
) -> None:
    for _ in range(5):
        factories.job(acme)
    one = factories.job(initech)
    dispatch.ring()
    take_from_queue(redis)
    dispatch.ring()
    assert sent(redis) == [one.id]


def test_no_tenant_has_more_jobs_at_once_than_its_plan_allows(acme: Organization, redis: Redis) -> None:
    acme.test_plan.concurrent_jobs = 2
    acme.test_plan.save()
    for _ in range(4):
        factories.job(acme)
    for _ in range(4):
        if dispatch.ring():
            take_from_queue(redis)
    assert acme.jobs.filter(attempt=1).count() == 2


def test_jobs_of_a_suspended_organization_wait(acme: Organization, redis: Redis) -> None:
    job = factories.job(acme)
    acme.suspended_at = job.created_at
    acme.save()
    assert dispatch.ring() == 0


def test_live_jobs_go_to_the_queue_of_their_engine(acme: Organization, redis: Redis) -> None:
    job = factories.job(acme, livemode=True, engine="infinitetalk")
    dispatch.ring()
    assert render_queue(EngineName.INFINITETALK, redis).job_ids == [f"{job.id}-1"]


def test_a_ring_without_redis_leaves_the_job_waiting(acme: Organization, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    job = factories.job(acme)
    assert dispatch.ring() == 0
    job.refresh_from_db()
    assert job.status == "queued"
