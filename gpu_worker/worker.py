"""The render worker: one long-lived process that keeps its engine in memory and renders job after job.

    python -m gpu_worker.worker --queue render-cpu|render-gpu [--burst]

It needs REDIS_URL and the object store's variables in its environment, and no database.
"""

import argparse
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import uuid4

import django
from django.conf import settings
from django.core.files.storage import default_storage
from redis.exceptions import RedisError

from gpu_worker import engines
from gpu_worker.common import logs, telemetry
from gpu_worker.common.scratch import Scratch
from gpu_worker.contract.engines import ENGINES, EngineName
from gpu_worker.engines.base import Engine, RenderError
from gpu_worker.model_store.errors import ModelStoreError
from gpu_worker.runtime import context, heartbeat, neighbours, rq_worker
from gpu_worker.runtime.report_outbox import Outbox
from gpu_worker.runtime.serverless_sessions import Turns
from gpu_worker.runtime.shutdown import REPORT_SECONDS, Shutdown

log = logging.getLogger("gpu_worker.worker")

ENGINE_OF_QUEUE = {traits.queue: engine for engine, traits in ENGINES.items()}
EX_CONFIG = 78  # sysexits.h: retrying won't help


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gpu_worker.worker", description="Render jobs of one queue.")
    parser.add_argument("--queue", required=True, choices=sorted(ENGINE_OF_QUEUE))
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--burst", action="store_true", help="end when the queue is empty")
    mode.add_argument("--turns", type=int, metavar="FD", help="render when the parent says so, over a socket")
    options = parser.parse_args(arguments)
    set_up_logging()
    try:
        telemetry.set_up(f"avatar-{options.queue}")
        serve(options.queue, burst=options.burst, turns=options.turns)
    except (ModelStoreError, RenderError, telemetry.TelemetryError) as error:
        log.critical("%s", error)
        return EX_CONFIG
    return 0


def serve(
    queue_name: str,
    *,
    burst: bool = False,
    turns: int | None = None,
    load_engine: Callable[[EngineName], Engine] = engines.load,
) -> None:
    """Load the engine of a queue and run the queue's jobs until the process is asked to end.

    Args:
        queue_name: The queue.
        burst: End when the queue is empty.
        turns: The descriptor of a socket over which the parent says when to render.
        load_engine: Makes the engine.

    Raises:
        ModelStoreError: The engine's models were never prepared.
        RenderError: They are damaged.
    """
    # Whatever else is configured in the environment, a render worker knows STORAGES and nothing more.
    os.environ["DJANGO_SETTINGS_MODULE"] = "gpu_worker.settings"
    django.setup(set_prefix=False)
    redis = rq_worker.connect(settings.REDIS_URL)
    with suppress(RedisError):  # Its forerunner is missed sooner than the models are loaded.
        neighbours.declare_gone(redis, neighbours.this_process())
    worker = context.WorkerContext(
        name=f"{queue_name}-{uuid4().hex[:12]}",
        engine_name=ENGINE_OF_QUEUE[queue_name],
        engine=load_engine(ENGINE_OF_QUEUE[queue_name]),
        redis=redis,
        storage=default_storage,
        outbox=Outbox(redis),
        scratch=Scratch("worker"),
    )
    context.install(worker)
    shutdown = Shutdown(worker)
    shutdown.listen()
    log.info("%s renders with the engine %s", worker.name, worker.engine.info.engine)
    # A worker that renders in turns was started by a process that waits for it.
    with heartbeat.sending(worker, started_with=os.getpid() if turns is None else os.getppid()):
        if turns is None:
            rq_worker.serve(worker, settings.REDIS_URL, idle_seconds=0 if burst else None)
        else:
            channel = socket.socket(fileno=turns)
            Turns(worker, channel, shutdown.leave_in_the_middle).serve(settings.REDIS_URL)
        worker.outbox.flush(REPORT_SECONDS)
    worker.scratch.close()
    shutdown.finished()


def set_up_logging() -> None:
    logs.to_stderr()
    # RQ tells of every job with its arguments, and those hold a token; S3's client tells signatures.
    for name in ("rq", "rq.worker", "boto3", "botocore", "s3transfer", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
