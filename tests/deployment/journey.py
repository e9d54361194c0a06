"""One job's way through every kind of process, here one after the other in this one."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from redis import Redis

from accounts.models import Organization
from gpu_worker import tasks as worker_tasks
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.lanes import lane_of
from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.queues import render_queue, report_queue
from jobs import tasks
from jobs.models import Job
from tests import factories
from tests.gpu_worker.playing_control import DEADLINE_SECONDS, Control, host_here
from tests.jobs.clients import form, keyed, png, wav

REQUEST = "request-of-the-test"
Commit = Callable[..., AbstractContextManager[object]]


def travel(organization: Organization, folder: Path, commit: Commit) -> Job:
    """A job that was asked for, dispatched, rendered in two windows and taken down.

    Args:
        organization: Whose it is.
        folder: For the worker.
        commit: pytest-django's `django_capture_on_commit_callbacks`.
    """
    control = Control(settings.REDIS_URL, folder)
    control.storage = default_storage
    with commit(execute=True):
        answer = keyed(factories.key(organization)).post(
            "/v1/jobs", form(png(256, 320), wav(4.0)), headers={"x-request-id": REQUEST}
        )
    with host_here(control) as host:
        (entry,) = render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), control.redis).get_jobs()
        worker_tasks.render(entry.args[0])
        host.outbox.flush(DEADLINE_SECONDS)
    with commit(execute=True):
        for report in reports(control.redis):
            tasks.record(report)
    return Job.objects.get(pk=answer.json()["id"])


def reports(redis: Redis) -> list[dict[str, object]]:
    return [entry.args[0] for entry in report_queue(redis).get_jobs()]
