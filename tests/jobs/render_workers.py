"""What render workers do to queues and rows, without rendering."""

from redis import Redis
from rq import Worker

from gpu_worker.contract import heartbeats
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.lanes import lane_of
from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.queues import render_queue
from jobs.lifecycle import transitions
from jobs.models import Job
from tests.jobs.reports import VIDEO


def register(redis: Redis, number: int, engine: EngineName = EngineName.PREVIEW) -> None:
    """As many workers as `number` say to RQ that they are there."""
    for _ in range(number):
        Worker([render_queue(lane_of(engine, PresetName.FAST), redis)], connection=redis).register_birth()


def begin(redis: Redis, engine: EngineName = EngineName.PREVIEW) -> list[Job]:
    """Workers take what is in the queue, and report that they have begun."""
    queue = render_queue(lane_of(engine, PresetName.FAST), redis)
    ids = [rq_id.rsplit("-", 1)[0] for rq_id in queue.job_ids]
    queue.empty()
    jobs = [Job.objects.get(pk=job_id) for job_id in ids]
    for job in jobs:
        assert transitions.start(job.id, job.attempt)
        job.refresh_from_db()
    return jobs


def end(job: Job) -> None:
    """The job's worker reports success."""
    assert transitions.succeed(job.id, job.attempt, VIDEO, {}, 1.0)


def beat(
    redis: Redis,
    name: str = "worker",
    *attempts: tuple[str, int],
    engine: EngineName = EngineName.PREVIEW,
    rendering: bool | None = None,
    same_for_seconds: float = 60,
) -> None:
    """A worker says that it has these attempts in hand, and has had nothing else for so long."""
    heartbeats.write(
        redis,
        heartbeats.Heartbeat(
            name=name,
            engine=engine,
            taking=True,
            attempts=attempts,
            rendering=bool(attempts) if rendering is None else rendering,
            same_for_seconds=same_for_seconds,
        ),
    )
