"""What the audit finds in the store, what it removes, and what it leaves alone."""

import json
import tracemalloc
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Organization
from gpu_worker.contract import storage_keys
from jobs.lifecycle import retention
from jobs.models import Job
from jobs.storage import objects
from jobs.storage.audit import Audit
from tests import factories
from tests.jobs.stores import keys, put


def audit(*options: str, status: int = 0) -> list[dict[str, Any]]:
    """What the command says; it has to end with `status`."""
    out = StringIO()
    try:
        call_command("storage_audit", "--json", *options, stdout=out)
        ended = 0
    except CommandError as error:
        ended = error.returncode
    assert ended == status, out.getvalue()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def stored(of: Organization, **fields: Any) -> Job:
    """A job whose inputs are in the store."""
    job = factories.job(of, **fields)
    prefix = storage_keys.inputs_prefix(of.pk, job.pk)
    job.inputs = {
        "reference": {"file": {"key": put(f"{prefix}reference.png")}},
        "speech": [{"file": {"key": put(f"{prefix}speech-0.flac")}}],
    }
    job.save()
    return job


@pytest.mark.usefixtures("either_store")
class TestInEitherStore:
    def test_what_rows_know_is_no_finding(self, acme: Organization) -> None:
        job = stored(acme)
        put(storage_keys.segment(storage_keys.attempt_prefix(acme.pk, job.pk, 1), 0))
        put(factories.asset(acme).key)
        (summary,) = audit("--grace", "0")
        assert summary == {
            "kind": "summary",
            "objects": 4,
            "young": 0,
            "jobs": 1,
            "unknown_objects": 0,
            "unfinished_uploads": 0,
            "missing_objects": 0,
        }

    def test_what_no_row_knows_is_listed_and_removed_when_asked(
        self, acme: Organization, initech: Organization
    ) -> None:
        known = {item["file"]["key"] for item in stored(acme).inputs["speech"]}
        expired = stored(acme)
        retention.expire(expired)
        theirs = stored(initech)
        unknown = {
            put(storage_keys.output_video(storage_keys.attempt_prefix(acme.pk, expired.pk, 2))),
            put(storage_keys.output_video(storage_keys.attempt_prefix(acme.pk, theirs.pk, 1))),
            put(f"org/{acme.pk}/assets/ast_{'0' * 26}/file"),
            put(f"org/{acme.pk}/jobs/job_{'0' * 26}/a1/output.mp4"),
            put("something/else"),
        }
        before = keys()
        *found, summary = audit("--grace", "0", status=3)
        assert {item["key"] for item in found} == unknown
        assert {(item["kind"], item["deleted"]) for item in found} == {("unknown_object", False)}
        assert (summary["unknown_objects"], keys()) == (5, before)

        *removed, _ = audit("--grace", "0", "--delete", status=3)
        assert {(item["key"], item["deleted"]) for item in removed} == {(key, True) for key in unknown}
        assert keys() == before - unknown >= known
        audit("--grace", "0")

    def test_what_is_young_may_get_its_row_yet(self, acme: Organization) -> None:
        put(f"org/{acme.pk}/jobs/job_{'0' * 26}/in/reference.png")
        (summary,) = audit("--delete")
        assert (summary["young"], len(keys())) == (1, 1)
        audit("--grace", "0", "--delete", status=3)
        assert keys() == set()

    def test_what_a_row_needs_and_the_store_lacks_is_listed(self, acme: Organization) -> None:
        prefix = storage_keys.attempt_prefix(acme.pk, "job", 1)
        job = stored(acme, windows=2, window_prefixes=[prefix])
        default_storage.delete(job.inputs["speech"][0]["file"]["key"])
        *found, summary = audit(status=3)
        assert [(item["kind"], item["job"], item["key"]) for item in found] == [
            ("missing_object", job.pk, job.inputs["speech"][0]["file"]["key"]),
            ("missing_object", job.pk, storage_keys.init_section(prefix)),
            ("missing_object", job.pk, storage_keys.segment(prefix, 0)),
        ]
        assert summary["missing_objects"] == 3

    def test_a_finished_job_needs_its_video_and_its_picture(self, acme: Organization) -> None:
        now = timezone.now()
        job = stored(acme, status="succeeded", attempt=1, finished_at=now, expires_at=now)
        prefix = storage_keys.attempt_prefix(acme.pk, job.pk, 1)
        *found, _ = audit(status=3)
        assert {item["key"] for item in found} == {
            storage_keys.output_video(prefix),
            storage_keys.thumbnail(prefix),
        }

    def test_more_objects_than_a_page_holds_are_all_seen(
        self, acme: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(objects, "PAGE", 3)
        known = stored(acme)
        unknown = {put(f"org/{acme.pk}/jobs/job_{'0' * 25}{digit}/in/file") for digit in range(7)}
        *found, summary = audit("--grace", "0", "--delete", status=3)
        assert {item["key"] for item in found} == unknown
        assert (summary["objects"], len(keys())) == (9, len(known.inputs["speech"]) + 1)


@pytest.mark.usefixtures("bucket")
def test_an_upload_that_was_never_finished_is_found_and_aborted(acme: Organization) -> None:
    client = default_storage.connection.meta.client  # type: ignore[attr-defined]
    client.create_multipart_upload(Bucket="bucket", Key=f"org/{acme.pk}/jobs/job_1/a1/output.mp4")
    (summary,) = audit("--delete")
    assert summary["young"] == 1
    found, summary = audit("--grace", "0", "--delete", status=3)
    assert (found["kind"], found["deleted"]) == ("unfinished_upload", True)
    audit("--grace", "0")


def test_it_says_the_same_to_people(acme: Organization, store: Path) -> None:
    put("something/else")
    out = StringIO()
    with pytest.raises(CommandError, match="differ"):
        call_command("storage_audit", "--grace", "0", stdout=out)
    finding, summary = out.getvalue().splitlines()
    assert finding.startswith("unknown object  something/else  since 2")
    assert summary.startswith("1 objects, 0 young, 0 jobs, 1 unknown objects")


def test_memory_and_queries_grow_with_the_page_and_not_with_the_store(
    acme: Organization, store: Path, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PAGE", 100)
    folder = store / "org" / acme.pk / "assets" / f"ast_{'0' * 26}"
    folder.mkdir(parents=True)
    for number in range(2000):
        (folder / f"part-{number}").touch()
    with django_assert_num_queries(20 * 2 + 1):
        assert count_findings() == 2000
    tracemalloc.start()
    count_findings()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400_000  # All at once take a million bytes, a page 130,000.


def count_findings() -> int:
    return sum(1 for _ in Audit(grace=timedelta()).findings())
