import signal
import threading
from contextlib import nullcontext
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections
from redis import Redis
from rq import Queue, SimpleWorker
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

from avatar_api.common.redis import redis_client
from gpu_worker.common import telemetry
from gpu_worker.contract.queues import REPORTS, ReportJob, report_queue
from jobs.operations import outbound, periodic
from jobs.queues import OUTBOUND, OutboundJob, outbound_queue, put_back

QUEUES = {REPORTS: (report_queue, ReportJob), OUTBOUND: (outbound_queue, OutboundJob)}


class ControlWorker(SimpleWorker):
    """Runs each task in this very process, with a database connection that is known to work."""

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        close_old_connections()
        try:
            return bool(super().perform_job(job, queue, execution))
        finally:
            close_old_connections()


class Command(BaseCommand):
    help = (
        "Run a control worker: `reports` takes down what render workers say, `outbound` sends webhooks and "
        "fetches inputs (run several), `periodic` repairs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("queue", choices=[*QUEUES, "periodic"])

    def handle(self, *args: Any, queue: str, **options: Any) -> None:
        try:
            telemetry.set_up(f"avatar-{queue}")
        except telemetry.TelemetryError as error:
            raise CommandError(str(error)) from error
        if queue == "periodic":
            periodic.run_until(stopped())
        else:
            worker = worker_of(queue, redis_client())
            if queue == REPORTS:
                # One process reads them; what its forerunner had in hand is told by nobody else.
                put_back(worker.queues[0])
            with outbound.working() if queue == OUTBOUND else nullcontext():
                worker.work(logging_level="WARNING", with_scheduler=False)


def stopped() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    event = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: event.set())
    return event


def worker_of(name: str, connection: Redis) -> ControlWorker:
    open_queue, job_class = QUEUES[name]
    return ControlWorker(
        [open_queue(connection)],
        connection=connection,
        serializer=JSONSerializer,
        job_class=job_class,
        log_job_description=False,
    )
