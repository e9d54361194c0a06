import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from gpu_worker.contract.queues import ReportJob, report_queue
from jobs import dispatch, periodic


class Command(BaseCommand):
    help = "Run a control worker: `reports` takes down what render workers say, `periodic` repairs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("queue", choices=["reports", "periodic"])

    def handle(self, *args: Any, queue: str, **options: Any) -> None:
        if queue == "periodic":
            periodic.run_until(stopped())
        else:
            take_reports()


def stopped() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    event = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: event.set())
    return event


def take_reports() -> None:
    connection = dispatch.redis_client()
    queue = report_queue(connection)
    worker = SimpleWorker(
        [queue],
        connection=connection,
        serializer=JSONSerializer,
        job_class=ReportJob,
        log_job_description=False,
    )
    worker.work(logging_level="WARNING", with_scheduler=False)
