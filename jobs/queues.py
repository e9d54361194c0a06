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


def outbound_queue(connection: Redis) -> Queue:
    return open_queue(OUTBOUND, OutboundJob, connection)
