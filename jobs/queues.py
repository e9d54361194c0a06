"""The queue of what uses the network outside: webhooks, fetching inputs, waking RunPod's workers.

Like the render queues it runs only what is named here, whoever writes to Redis.
"""

from redis import Redis
from rq import Queue

from gpu_worker.contract.queues import AllowListedJob, open_queue

OUTBOUND = "outbound"
DELIVER_FUNCTION = "jobs.tasks.deliver"
FETCH_FUNCTION = "jobs.tasks.fetch_inputs"
WAKE_FUNCTION = "jobs.tasks.wake"


class OutboundJob(AllowListedJob):
    allowed = frozenset({DELIVER_FUNCTION, FETCH_FUNCTION, WAKE_FUNCTION})


def put_back(queue: Queue) -> int:
    """Put what a lost worker had taken at the head of the queue again.

    For tasks that may be repeated: what another worker has in hand at this moment comes twice.

    Returns:
        How many there were.
    """
    executions = queue.started_job_registry.get_job_and_execution_ids(cleanup=False)
    taken = {*queue.intermediate_queue.get_job_ids(), *(rq_id for rq_id, _ in executions)}
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
    unbegun = [rq_id for rq_id in between.get_job_ids() if not between.set_first_seen(rq_id)]
    for rq_id in unbegun:
        between.remove(rq_id)
        queue.connection.delete(between.get_first_seen_key(rq_id))
    return unbegun


def _put_back(queue: Queue, rq_id: str) -> None:
    if (job := queue.fetch_job(rq_id)) is not None:
        queue.enqueue_job(job, at_front=True)
    queue.intermediate_queue.remove(rq_id)


def outbound_queue(connection: Redis) -> Queue:
    return open_queue(OUTBOUND, OutboundJob, connection)
