import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis import Redis

from avatar_api.common.redis import worker_client
from gpu_worker.common import telemetry
from gpu_worker.contract.queues import REPORTS, report_queue
from jobs.operations import outbound, periodic, queue_worker
from jobs.operations.queue_worker import ControlWorker
from jobs.queues import OUTBOUND, SPEECH, outbound_queue, speech_queue

QUEUES = {REPORTS: report_queue, OUTBOUND: outbound_queue, SPEECH: speech_queue}
BACKGROUND: dict[str, Callable[[], AbstractContextManager[None]]] = {
    REPORTS: nullcontext,
    OUTBOUND: outbound.working,
    SPEECH: outbound.speaking,
}


class Command(BaseCommand):
    help = (
        "Run a control worker: `reports` takes down what render workers say, `outbound` sends webhooks and "
        "fetches inputs (run several), `speech-cpu` has texts said, `periodic` repairs."
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
            # One process reads reports; what its forerunner had in hand is told by nobody else.
            with BACKGROUND[queue]():
                queue_worker.serve(QUEUES[queue], worker_client, stopped(), put_back=queue == REPORTS)


def stopped() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    event = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: event.set())
    return event


def worker_of(name: str, connection: Redis) -> ControlWorker:
    return ControlWorker(QUEUES[name](connection))
