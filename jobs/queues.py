"""The queue of what goes out of the house: webhooks, the fetching of inputs, the waking of RunPod's workers.

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
        if (job := queue.fetch_job(rq_id)) is not None:
            queue.enqueue_job(job, at_front=True)
        queue.intermediate_queue.remove(rq_id)
    queue.connection.delete(queue.started_job_registry.key)
    return len(taken)


def outbound_queue(connection: Redis) -> Queue:
    return open_queue(OUTBOUND, OutboundJob, connection)
