"""A preset is one entry of one table: a job can ask for it, is rendered with it, and is charged for it."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from pytest_django import Settings
from redis import Redis

from accounts.limits import effective_limits
from accounts.models import Organization
from accounts.scopes import Scope
from accounts.tenant import Tenant
from gpu_worker import tasks
from gpu_worker.common import logs
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.lanes import lane_of
from gpu_worker.contract.presets import PRESETS, PresetName
from gpu_worker.contract.queues import render_queue, report_queue
from jobs.intake.requests import JobRequestSerializer
from jobs.lifecycle import estimates, services
from jobs.scheduling import dispatch
from jobs.tasks import record
from tests.gpu_worker.playing_control import Control, host_here

pytestmark = pytest.mark.usefixtures("redis")


@pytest.fixture
def draft(monkeypatch: pytest.MonkeyPatch) -> Iterator[PresetName]:
    """A preset of two steps at a quarter of the price, as if its entry stood in `presets.py`."""
    name = str.__new__(PresetName, "draft")
    name._name_, name._value_ = "DRAFT", "draft"
    monkeypatch.setitem(PresetName._member_map_, "DRAFT", name)
    monkeypatch.setitem(PresetName._value2member_map_, "draft", name)
    monkeypatch.setattr(PresetName, "_member_names_", [*PresetName._member_names_, "DRAFT"])
    entry = replace(PRESETS[PresetName.FAST], base_timesteps=(1000.0, 500.0), price_factor=Decimal("0.25"))
    monkeypatch.setitem(PRESETS, name, entry)
    return name


def test_a_preset_added_to_the_table_is_estimated_rendered_and_charged(
    draft: PresetName,
    acme: Organization,
    portrait: bytes,
    speech: bytes,
    redis: Redis,
    settings: Settings,
    store: Path,
    tmp_path: Path,
) -> None:
    settings.LIVE_ENGINE = EngineName.PREVIEW
    acme.presets, acme.resolutions = [draft.value], ["720p"]
    acme.price_per_video_second_usd = Decimal("0.05")
    acme.save()
    limits = effective_limits(acme, livemode=True)
    tenant = Tenant(organization=acme, livemode=True, scopes=frozenset(Scope), limits=limits)
    files = {"image_url": data_uri(portrait), "audio_url": data_uri(speech)}
    form = JobRequestSerializer(data={**files, "resolution": "720p"})
    form.is_valid(raise_exception=True)
    request = replace(form.to_job_request(limits), preset=draft)

    estimate = estimates.estimate(tenant=tenant, job_request=request)
    with logs.bound():  # As a request does, which ends with what was bound in it.
        job = services.create_job(tenant=tenant, job_request=request)
    control = Control(settings.REDIS_URL, tmp_path / "worker")
    control.storage = default_storage
    with host_here(control):
        dispatch.dispatch_jobs()
        (entry,) = render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), redis).jobs
        tasks.render(*entry.args)
    for report in report_queue(redis).get_jobs():
        record(report.args[0])

    job.refresh_from_db()
    assert (job.status, job.preset) == ("succeeded", "draft")
    a_quarter = job.charged_seconds * job.price_per_video_second_usd / 4
    assert job.cost_usd == a_quarter == Decimal(estimate.estimated_cost_usd)
    assert a_quarter > 0


def data_uri(content: bytes) -> str:
    return "data:application/octet-stream;base64," + base64.b64encode(content).decode()
