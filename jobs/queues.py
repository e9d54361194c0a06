"""The queues of control: of what uses the network outside, and of texts that are to be said.

Like the render queues they run only what is named here, no matter who writes to Redis.
"""

from typing import cast

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue

from avatar_api.common.redis import is_away
from gpu_worker.contract import reading
from gpu_worker.contract.queues import AllowListedJob, open_queue
from gpu_worker.contract.reading import UnreadableError

OUTBOUND = "outbound"
SPEECH = "speech-cpu"
DELIVER_FUNCTION = "jobs.tasks.deliver"
FETCH_FUNCTION = "jobs.tasks.fetch_inputs"
WAKE_FUNCTION = "jobs.tasks.wake"


class OutboundJob(AllowListedJob):
    allowed = frozenset({DELIVER_FUNCTION, FETCH_FUNCTION, WAKE_FUNCTION})


class SpeechJob(AllowListedJob):
    allowed = frozenset({FETCH_FUNCTION})


def waiting_ids(queue: Queue) -> list[str]:
    """The entries that no worker has taken."""
    return _ids(queue.connection, queue.key)


def taken_ids(queue: Queue) -> list[str]:
    """The entries that a worker has taken and perhaps not begun."""
    return _ids(queue.connection, queue.intermediate_queue.key)


def begun_ids(queue: Queue) -> list[str]:
    """The entries that a worker has begun, as far as RQ's registry says."""
    members = cast("list[bytes]", queue.connection.zrange(queue.started_job_registry.key, 0, -1))
    return [text.partition(":")[0] for text in _readable(members)]


def _ids(redis: Redis, key: str) -> list[str]:
    """What a list holds; entries that aren't even text are removed, since RQ itself can't pass them."""
    members = cast("list[bytes]", redis.lrange(key, 0, -1))
    found = _readable(members)
    if len(found) < len(members):
        for member in members:
            if not _is_text(member):
                redis.lrem(key, 0, member)  # type: ignore[arg-type]
    return found


def _readable(members: list[bytes]) -> list[str]:
    found = []
    for member in members:
        try:
            found.append(reading.text(member))
        except UnreadableError as error:
            reading.dropped("a queue's entry", error)
    return found


def _is_text(member: bytes) -> bool:
    return member == member.decode(errors="replace").encode()


def put_back(queue: Queue) -> int:
    """Put what a lost worker had taken at the head of the queue again.

    For tasks that may be repeated: what another worker has in hand at this moment comes twice.

    Returns:
        How many there were.
    """
    taken = {*taken_ids(queue), *begun_ids(queue)}
    for rq_id in taken:
        _put_back(queue, rq_id)
    queue.connection.delete(queue.started_job_registry.key)
    return len(taken)


def put_back_unbegun(queue: Queue) -> int:
    """Put back what a worker took and never began, because it died or Redis broke off in mid-sentence.

    Returns:
        How many there were.
    """
    unbegun = take_unbegun(queue)
    for rq_id in unbegun:
        _put_back(queue, rq_id)
    return len(unbegun)


def take_unbegun(queue: Queue) -> list[str]:
    """Remove from RQ's intermediate queue what was there at the last call already.

    Between taking and beginning lie milliseconds, so what two rounds find there is in nobody's hands.
    """
    between = queue.intermediate_queue
    unbegun = [rq_id for rq_id in taken_ids(queue) if not between.set_first_seen(rq_id)]
    for rq_id in unbegun:
        between.remove(rq_id)
        queue.connection.delete(between.get_first_seen_key(rq_id))
    return unbegun


def _put_back(queue: Queue, rq_id: str) -> None:
    try:
        if (job := queue.fetch_job(rq_id)) is not None:
            queue.enqueue_job(job, at_front=True)
    except Exception as error:  # RQ's reading of a job raises whatever its content provokes.
        if isinstance(error, RedisError) and is_away(error):
            raise
        reading.dropped("a queue's entry", error)
    queue.intermediate_queue.remove(rq_id)


def outbound_queue(connection: Redis) -> Queue:
    return open_queue(OUTBOUND, OutboundJob, connection)


def speech_queue(connection: Redis) -> Queue:
    return open_queue(SPEECH, SpeechJob, connection)
