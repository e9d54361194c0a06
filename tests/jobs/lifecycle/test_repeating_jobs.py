"""Idempotency keys, retries and deletion: doing it again, and undoing it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import idempotency
from accounts.models import IdempotencyClaim, Organization
from gpu_worker.contract import storage_keys
from gpu_worker.contract.spec import PARAMETER_NAMES, ReportKind
from jobs.intake import inputs
from jobs.models import Job
from jobs.tasks import record
from tests import factories
from tests.jobs.clients import form, keyed, wav
from tests.jobs.reports import dispatched, report

pytestmark = pytest.mark.usefixtures("redis", "store")

KEY = {"idempotency-key": "order-17"}

UNUSUAL: dict[str, Any] = {
    "speaking_order": "second_then_first",
    "speaker_boxes": [{"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4}],
    "prompt": "A fisherman mutters.",
    "negative_prompt": "fog",
    "resolution": "480p",
    "preset": "quality",
    "seed": 4711,
    "metadata": {"order": "17"},
    "consent": {"subject": "speaker-12", "basis": "permission", "reference": "release 2026-041"},
    "webhook_url": "https://receiver.example/hook",
}
"""Everything that a customer may ask for beside files, as this job's request doesn't."""
OF_ONE_RUN = {
    *("id", "retry_of_id", "created_at", "request_id", "traceparent", "inputs", "status", "attempt"),
    *("token_hash", "dispatched_at", "started_at", "attempt_started_at", "slice_ends_at", "finished_at"),
    *(
        "expires_at",
        "window_prefixes",
        "output",
        "receipt",
        "gpu_seconds",
        "attempt_gpu_seconds",
        "cost_usd",
        "charged_seconds",
    ),
}
"""What a retry has of its own."""


@pytest.fixture
def ended(acme_client: APIClient, portrait: bytes, speech: bytes) -> Job:
    """A job with inputs in the store that succeeded."""
    created = acme_client.post("/v1/jobs", form(portrait, speech, seed="7")).json()
    job = dispatched(Job.objects.get(pk=created["id"]))
    record(report(job, ReportKind.SUCCEEDED))
    job.refresh_from_db()
    return job


@contextmanager
def another_process() -> Iterator[Any]:
    """A cursor on a connection of its own, as another process has it."""
    elsewhere = connection.copy()
    try:
        with elsewhere.cursor() as cursor:
            yield cursor
    finally:
        elsewhere.close()


class TestIdempotency:
    def test_the_same_request_sent_again_makes_one_job(
        self, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        first = acme_client.post("/v1/jobs", form(portrait, speech), headers=KEY)
        again = acme_client.post("/v1/jobs", form(portrait, speech), headers=KEY)
        assert (again.status_code, again["Idempotent-Replayed"]) == (202, "true")
        assert again.json()["id"] == first.json()["id"]
        assert Job.objects.count() == 1
        assert "Idempotent-Replayed" not in first

    def test_a_replay_shows_the_job_as_it_is_now(
        self, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        first = acme_client.post("/v1/jobs", form(portrait, speech), headers=KEY).json()
        acme_client.post(f"/v1/jobs/{first['id']}/cancel")
        again = acme_client.post("/v1/jobs", form(portrait, speech), headers=KEY)
        assert again.json()["status"] == "canceled"

    def test_another_body_under_the_same_key_is_refused(
        self, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        acme_client.post("/v1/jobs", form(portrait, speech), headers=KEY)
        other = acme_client.post("/v1/jobs", form(portrait, wav(0.7)), headers=KEY)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")

    def test_a_twin_in_flight_is_told_to_wait(
        self, acme: Organization, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        with another_process() as elsewhere:
            lock = f"idempotency {acme.pk} False order-17"
            elsewhere.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [lock])
            twin = acme_client.post("/v1/jobs", form(portrait, speech), headers=KEY)
        assert (twin.status_code, twin.json()["code"]) == (409, "idempotency_key_in_use")
        assert int(twin["Retry-After"]) > 0
        assert not Job.objects.exists()

    def test_what_a_process_left_that_died_over_it_is_taken_over_at_once(
        self, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        acme_client.post("/v1/jobs", form(portrait, speech), headers=KEY)
        Job.objects.all().delete()
        IdempotencyClaim.objects.update(object_id="")
        again = acme_client.post("/v1/jobs", form(portrait, speech), headers=KEY)
        assert (again.status_code, Job.objects.count()) == (202, 1)
        assert IdempotencyClaim.objects.get().object_id == again.json()["id"]

    def test_of_twins_that_both_went_on_only_the_first_makes_a_job(
        self,
        acme_client: APIClient,
        portrait: bytes,
        speech: bytes,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The lock goes with its connection, so whoever has lost that may not be alone any more."""
        store = inputs.store

        def and_meanwhile_the_twin_ends(*arguments: Any) -> Any:
            IdempotencyClaim.objects.update(object_id="job_of_the_twin")
            return store(*arguments)

        monkeypatch.setattr(inputs, "store", and_meanwhile_the_twin_ends)
        late = acme_client.post("/v1/jobs", form(portrait, speech), headers=KEY)
        assert (late.status_code, late.json()["code"]) == (409, "idempotency_key_in_use")
        assert not Job.objects.exists()

    def test_a_refused_request_frees_its_key(
        self, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        refused = acme_client.post("/v1/jobs", form(b"no picture", speech), headers=KEY)
        accepted = acme_client.post("/v1/jobs", form(portrait, speech), headers=KEY)
        assert (refused.status_code, accepted.status_code) == (422, 202)

    def test_organizations_do_not_share_keys(
        self, initech: Organization, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        acme_client.post("/v1/jobs", form(portrait, speech), headers=KEY)
        theirs = keyed(factories.key(initech)).post("/v1/jobs", form(portrait, speech), headers=KEY)
        assert (theirs.status_code, "Idempotent-Replayed" in theirs) == (202, False)

    def test_a_key_is_forgotten_after_a_day(
        self, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        acme_client.post("/v1/jobs", form(portrait, speech), headers=KEY)
        with time_machine.travel(timezone.now() + timedelta(hours=24, seconds=1)):
            again = acme_client.post("/v1/jobs", form(portrait, speech), headers=KEY)
        assert (again.status_code, Job.objects.count()) == (202, 2)

    def test_a_claim_that_a_crash_left_is_freed_after_a_quarter_of_an_hour(
        self, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        acme_client.post("/v1/jobs", form(portrait, speech), headers=KEY)
        IdempotencyClaim.objects.update(object_id="")
        assert idempotency.prune_claims() == 0
        with time_machine.travel(timezone.now() + timedelta(minutes=15, seconds=1)):
            assert idempotency.prune_claims() == 1

    @pytest.mark.parametrize("key", ["", "a b", "ü", "x" * 256])
    def test_a_key_that_is_not_visible_ascii_is_refused(
        self, acme_client: APIClient, portrait: bytes, speech: bytes, key: str
    ) -> None:
        answer = acme_client.post("/v1/jobs", form(portrait, speech), headers={"idempotency-key": key})
        assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


class TestRetry:
    def test_a_retry_is_a_new_job_from_copies_of_the_same_inputs(
        self, acme: Organization, acme_client: APIClient, ended: Job, store: Path
    ) -> None:
        answer = acme_client.post(f"/v1/jobs/{ended.id}/retry")
        again = answer.json()
        assert (answer.status_code, again["retry_of"], again["status"]) == (202, ended.id, "queued")
        assert again["id"] != ended.id
        assert again["input"]["seed"] == 7
        folder = store / storage_keys.inputs_prefix(acme.id, again["id"])
        assert {path.name for path in folder.iterdir()} == {"reference.png", "speech-0.flac"}

    def test_a_retry_keeps_all_that_was_asked_for(self, acme_client: APIClient, ended: Job) -> None:
        Job.objects.filter(pk=ended.pk).update(**UNUSUAL)
        again = Job.objects.get(pk=acme_client.post(f"/v1/jobs/{ended.id}/retry").json()["id"])
        ended.refresh_from_db()
        assert {name for name in UNUSUAL if getattr(ended, name) != getattr(again, name)} == set()
        of_the_job = {field.attname for field in Job._meta.concrete_fields} - OF_ONE_RUN
        assert {name for name in of_the_job if getattr(ended, name) != getattr(again, name)} == set()

    def test_the_parameters_of_the_test_above_are_all_there_are(self, ended: Job) -> None:
        assert set(PARAMETER_NAMES) <= UNUSUAL.keys()
        assert {name for name, value in UNUSUAL.items() if getattr(ended, name) == value} == set()

    def test_a_job_that_has_not_ended_cannot_be_retried(
        self, acme: Organization, acme_client: APIClient
    ) -> None:
        assert acme_client.post(f"/v1/jobs/{factories.job(acme).id}/retry").status_code == 409

    def test_a_job_whose_inputs_are_gone_cannot_be_retried(self, acme_client: APIClient, ended: Job) -> None:
        acme_client.delete(f"/v1/jobs/{ended.id}")
        answer = acme_client.post(f"/v1/jobs/{ended.id}/retry")
        assert (answer.status_code, answer.json()["code"]) == (410, "expired")


class TestDeletion:
    def test_deleting_removes_all_files_and_keeps_the_record(
        self, acme_client: APIClient, ended: Job, store: Path
    ) -> None:
        prefix = storage_keys.attempt_prefix(ended.organization_id, ended.id, 1)
        default_storage.save(storage_keys.output_video(prefix), ContentFile(b"video"))
        assert acme_client.delete(f"/v1/jobs/{ended.id}").status_code == 204
        assert [path for path in store.rglob("*") if path.is_file()] == []
        shown = acme_client.get(f"/v1/jobs/{ended.id}").json()
        assert (shown["status"], shown["expired"], shown["output"]) == ("succeeded", True, None)

    def test_deleting_a_queued_job_cancels_it(self, acme: Organization, acme_client: APIClient) -> None:
        job = factories.job(acme)
        assert acme_client.delete(f"/v1/jobs/{job.id}").status_code == 204
        shown = acme_client.get(f"/v1/jobs/{job.id}").json()
        assert (shown["status"], shown["expired"]) == ("canceled", True)

    def test_a_running_job_cannot_be_deleted(self, acme: Organization, acme_client: APIClient) -> None:
        job = dispatched(factories.job(acme))
        record(report(job, ReportKind.STARTED))
        assert acme_client.delete(f"/v1/jobs/{job.id}").status_code == 409


class TestTags:
    def test_an_unchanged_job_is_not_sent_again(self, acme_client: APIClient, ended: Job) -> None:
        first = acme_client.get(f"/v1/jobs/{ended.id}")
        again = acme_client.get(f"/v1/jobs/{ended.id}", headers={"if-none-match": first["ETag"]})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
        assert first["Cache-Control"] == "private, no-cache"

    def test_a_signature_made_later_does_not_change_the_tag(self, acme_client: APIClient, ended: Job) -> None:
        first = acme_client.get(f"/v1/jobs/{ended.id}")
        with time_machine.travel(timezone.now() + timedelta(minutes=5)):
            later = acme_client.get(f"/v1/jobs/{ended.id}")
        assert first.json()["output"]["url"] != later.json()["output"]["url"]
        assert first["ETag"] == later["ETag"]

    def test_a_change_of_state_changes_the_tag(self, acme: Organization, acme_client: APIClient) -> None:
        job = factories.job(acme)
        first = acme_client.get(f"/v1/jobs/{job.id}")
        acme_client.post(f"/v1/jobs/{job.id}/cancel")
        again = acme_client.get(f"/v1/jobs/{job.id}", headers={"if-none-match": first["ETag"]})
        assert again.status_code == 200
