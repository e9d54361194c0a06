"""Which jobs are sent to the render queues, and in which order."""

from pytest_django import Settings
from redis import Redis

from accounts.models import Organization
from gpu_worker.contract import coordination
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.lanes import lane_of
from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.queues import render_queue
from gpu_worker.contract.spec import RenderSpec
from jobs.lifecycle import transitions
from jobs.models import Job, VirtualTime
from jobs.scheduling import dispatch
from tests import factories
from tests.jobs.render_workers import beat, begin, end, register


def sent(redis: Redis) -> list[str]:
    return [
        rq_id.rsplit("-", 1)[0]
        for rq_id in render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), redis).job_ids
    ]


def unlimited(organization: Organization) -> None:
    organization.test_plan.concurrent_jobs = 1000
    organization.test_plan.save()


def render_all(redis: Redis, number: int = 1000) -> list[Job]:
    """The jobs that a single worker renders, in their order."""
    rendered: list[Job] = []
    while len(rendered) < number and dispatch.dispatch_jobs():
        (job,) = begin(redis)
        end(job)
        rendered.append(job)
    return rendered


def test_a_ring_sends_one_job_while_no_worker_takes_it(acme: Organization, redis: Redis) -> None:
    first, _ = factories.job(acme), factories.job(acme)
    assert dispatch.dispatch_jobs() == 1
    assert dispatch.dispatch_jobs() == 0
    assert sent(redis) == [first.id]


def test_a_ring_is_a_new_attempt_with_a_spec_that_is_whole(acme: Organization, redis: Redis) -> None:
    job = factories.job(acme)
    dispatch.dispatch_jobs()
    job.refresh_from_db()
    (entry,) = render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), redis).jobs
    spec = RenderSpec.from_dict(entry.args[0])
    assert (spec.job_id, spec.attempt, job.attempt) == (job.id, 1, 1)
    assert dispatch.hash_token(spec.token) == job.token_hash
    assert coordination.read_control(redis, job.id) == coordination.Control(1, None)


def test_the_token_is_not_in_what_the_queue_describes(acme: Organization, redis: Redis) -> None:
    job = factories.job(acme)
    dispatch.dispatch_jobs()
    (entry,) = render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), redis).jobs
    assert entry.description == f"{job.id}-1"


def test_each_worker_that_has_nothing_gets_a_job_and_none_is_sent_ahead(
    acme: Organization, redis: Redis
) -> None:
    unlimited(acme)
    for _ in range(5):
        factories.job(acme)
    register(redis, 3)
    assert dispatch.dispatch_jobs() == 3
    begin(redis)
    assert dispatch.dispatch_jobs() == 0
    assert acme.jobs.filter(dispatched_at__isnull=False).count() == 3


def test_a_tenant_with_one_job_is_next_after_the_first_of_a_thousand(
    acme: Organization, initech: Organization, redis: Redis
) -> None:
    register(redis, 1)
    Job.objects.bulk_create(factories.job_row(acme) for _ in range(1000))
    dispatch.dispatch_jobs()
    (first,) = begin(redis)
    one = factories.job(initech)
    assert dispatch.dispatch_jobs() == 0
    end(first)
    dispatch.dispatch_jobs()
    assert sent(redis) == [one.id]


def test_three_tenants_take_turns_on_one_worker_whoever_came_first(
    acme: Organization, initech: Organization, redis: Redis
) -> None:
    globex = factories.organization("Globex")
    for organization in (acme, initech, globex):
        for _ in range(4):
            factories.job(organization)
    rendered = [job.organization for job in render_all(redis)]
    for turn in range(0, 12, 3):
        assert set(rendered[turn : turn + 3]) == {acme, initech, globex}


def test_a_tenant_of_three_times_the_weight_gets_three_times_the_turns(
    acme: Organization, initech: Organization, redis: Redis
) -> None:
    initech.test_plan = factories.plan_like(initech.test_plan, "heavy", weight=3)
    initech.save()
    for _ in range(12):
        factories.job(acme)
        factories.job(initech)
    rendered = [job.organization for job in render_all(redis, 12)]
    assert rendered.count(initech) == 9


def test_turns_are_worth_what_they_take(acme: Organization, initech: Organization, redis: Redis) -> None:
    for _ in range(3):
        factories.job(acme, num_frames=81 + 5 * 72)
    for _ in range(18):
        factories.job(initech, num_frames=81)
    rendered = [job.organization for job in render_all(redis, 14)]
    assert rendered.count(acme) == 2


def test_who_was_away_saves_nothing_up(acme: Organization, initech: Organization, redis: Redis) -> None:
    for _ in range(8):
        factories.job(acme)
    render_all(redis)
    for _ in range(4):
        factories.job(acme)
        factories.job(initech)
    rendered = [job.organization for job in render_all(redis, 4)]
    assert rendered.count(acme) == 2


def test_what_a_tenant_had_of_one_engine_counts_nothing_on_the_other(
    acme: Organization, redis: Redis
) -> None:
    factories.job(acme, livemode=True, engine="infinitetalk")
    factories.job(acme)
    dispatch.dispatch_jobs()
    assert set(VirtualTime.objects.values_list("engine", flat=True)) == {"infinitetalk", "preview"}


def test_no_tenant_has_more_jobs_at_once_than_its_plan_allows(acme: Organization, redis: Redis) -> None:
    acme.test_plan.concurrent_jobs = 2
    acme.test_plan.save()
    register(redis, 4)
    for _ in range(4):
        factories.job(acme)
    assert dispatch.dispatch_jobs() == 2
    first, _ = begin(redis)
    assert dispatch.dispatch_jobs() == 0
    end(first)
    assert dispatch.dispatch_jobs() == 1


def test_a_job_that_was_handed_back_is_the_first_of_its_tenants_again(
    acme: Organization, redis: Redis
) -> None:
    job = factories.job(acme)
    factories.job(acme)
    dispatch.dispatch_jobs()
    begin(redis)
    transitions.hand_back(job.id, 1, "", 1.0)
    dispatch.dispatch_jobs()
    assert sent(redis) == [job.id]


def test_jobs_of_a_suspended_organization_wait(acme: Organization, redis: Redis) -> None:
    job = factories.job(acme)
    acme.suspended_at = job.created_at
    acme.save()
    assert dispatch.dispatch_jobs() == 0


def test_live_jobs_go_to_the_queue_of_their_engine(acme: Organization, redis: Redis) -> None:
    job = factories.job(acme, livemode=True, engine="infinitetalk")
    dispatch.dispatch_jobs()
    assert render_queue(lane_of(EngineName.INFINITETALK, PresetName.FAST), redis).job_ids == [f"{job.id}-1"]


def test_a_ring_without_redis_leaves_the_job_waiting(acme: Organization, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    job = factories.job(acme)
    assert dispatch.dispatch_jobs() == 0
    job.refresh_from_db()
    assert job.status == "queued"


def test_a_worker_that_says_it_is_free_gets_a_job_whatever_the_rows_say(
    acme: Organization, redis: Redis
) -> None:
    lost, waiting = factories.job(acme), factories.job(acme)
    dispatch.dispatch_jobs()
    begin(redis)
    lost.refresh_from_db()
    assert lost.status == "processing"  # By a worker that was killed; the next one has taken its place.
    beat(redis, "fresh")
    assert dispatch.dispatch_jobs() == 1
    assert sent(redis) == [waiting.id]


def test_a_worker_that_says_it_is_busy_gets_none(acme: Organization, redis: Redis) -> None:
    factories.job(acme)
    beat(redis, "busy", ("job_other", 1))
    assert dispatch.dispatch_jobs() == 0


def test_a_worker_that_is_heard_no_more_gets_none(acme: Organization, redis: Redis) -> None:
    factories.job(acme), factories.job(acme)
    beat(redis, "frozen")
    beat(redis, "busy", ("job_other", 1))
    redis.pexpire("worker:heartbeat:frozen", 30_000)
    assert dispatch.dispatch_jobs() == 0


def test_a_worker_that_sends_its_last_report_gets_the_next_job(acme: Organization, redis: Redis) -> None:
    factories.job(acme)
    beat(redis, "worker", ("job_other", 1), rendering=False)
    assert dispatch.dispatch_jobs() == 1


def test_workers_of_the_release_before_count_as_registered(acme: Organization, redis: Redis) -> None:
    unlimited(acme)
    for _ in range(4):
        factories.job(acme)
    register(redis, 2)
    beat(redis, "new")
    assert dispatch.dispatch_jobs() == 3


def test_a_job_that_cannot_be_sent_keeps_nobody_elses_back(
    acme: Organization, initech: Organization, redis: Redis
) -> None:
    damaged = factories.job(acme)
    Job.objects.filter(pk=damaged.pk).update(inputs={})
    other = factories.job(initech)
    register(redis, 2)
    assert dispatch.dispatch_jobs() == 1
    assert sent(redis) == [other.id]
