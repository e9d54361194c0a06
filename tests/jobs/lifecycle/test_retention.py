"""What is left of a job when the time of its files is over, and what its addresses are good for."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone
from redis import Redis
from rest_framework.test import APIClient

from accounts.models import Organization
from gpu_worker.contract import storage_keys
from jobs.lifecycle import retention
from jobs.models import Job
from jobs.presenters import signed_urls
from tests import factories
from tests.jobs.stores import keys, put


def rendered(of: Organization, **fields: Any) -> Job:
    """A job that two attempts have rendered, with a file of each kind in the store."""
    now = timezone.now()
    ended: dict[str, Any] = {"status": "succeeded", "attempt": 2, "finished_at": now, "expires_at": now}
    video = {"width": 1, "height": 1, "fps": 25, "duration_seconds": 4.0, "size_bytes": 9, "sha256": "0" * 64}
    job = factories.job(of, output=video, receipt={}, **ended | fields)
    first, second = (storage_keys.attempt_prefix(of.pk, job.pk, attempt) for attempt in (1, 2))
    for key in (
        f"{storage_keys.inputs_prefix(of.pk, job.pk)}reference.png",
        f"{storage_keys.inputs_prefix(of.pk, job.pk)}speech-0.flac",
        storage_keys.init_section(first),
        storage_keys.segment(first, 0),
        storage_keys.window_state(first, 0),
        storage_keys.step_state(first),
        storage_keys.segment(second, 1),
        storage_keys.output_video(second),
        storage_keys.thumbnail(second),
        storage_keys.result(second),
    ):
        put(key)
    Job.objects.filter(pk=job.pk).update(window_prefixes=[first, second])
    return job


@pytest.mark.usefixtures("either_store")
def test_inputs_states_segments_and_results_of_every_attempt_go_and_the_record_stays(
    acme: Organization,
) -> None:
    kept = rendered(acme, expires_at=timezone.now() + timedelta(minutes=1))
    others = keys()
    rendered(acme)
    assert len(keys()) == 2 * len(others)
    assert retention.prune_expired() == 1
    assert keys() == others
    assert {*Job.objects.filter(expired=False)} == {kept}
    assert Job.objects.count() == 2


def test_an_address_of_the_bucket_dies_no_later_than_the_file(bucket: None) -> None:
    download = signed_urls.Download("org/1/jobs/1/a1/output.mp4", "video/mp4", "job.mp4")
    for left, longest in [(timedelta(minutes=10), 600), (timedelta(hours=6), signed_urls.LINK_SECONDS)]:
        expires_at = timezone.now() + left
        query = parse_qs(urlsplit(signed_urls.signed_url("", download, expires_at)).query)
        signed_at = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        dies_at = signed_at + timedelta(seconds=int(query["X-Amz-Expires"][0]))
        assert dies_at <= expires_at
        assert longest - 2 <= int(query["X-Amz-Expires"][0]) <= longest


@pytest.mark.usefixtures("either_store")
def test_from_then_on_nothing_is_signed_although_the_files_are_not_removed_yet(
    acme: Organization, acme_client: APIClient, redis: Redis
) -> None:
    job = rendered(acme, expires_at=timezone.now() + timedelta(minutes=5))
    shown = acme_client.get(f"/v1/jobs/{job.pk}").json()
    assert (shown["expired"], bool(shown["output"]), bool(shown["stream_url"])) == (False, True, True)
    Job.objects.filter(pk=job.pk).update(expires_at=timezone.now())
    shown = acme_client.get(f"/v1/jobs/{job.pk}").json()
    assert (shown["expired"], shown["output"], shown["stream_url"]) == (True, None, None)
    assert acme_client.get(f"/v1/jobs/{job.pk}/content").status_code == 410
    assert acme_client.post(f"/v1/jobs/{job.pk}/retry").status_code == 410
