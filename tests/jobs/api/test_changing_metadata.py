"""`PATCH /v1/jobs/<id>`: metadata, and nothing else."""

from typing import Any

import pytest
from redis import Redis
from rest_framework.test import APIClient

from accounts.models import Organization
from jobs.models import Job
from jobs.states import Status
from tests import factories
from tests.jobs.reports import dispatched

pytestmark = pytest.mark.usefixtures("redis", "store")


def change(client: APIClient, job: Job, **body: Any) -> Any:
    return client.patch(f"/v1/jobs/{job.pk}", body, format="json")


@pytest.mark.parametrize("state", [Status.QUEUED, Status.PROCESSING])
def test_it_replaces_all_pairs_whatever_the_jobs_state(
    acme: Organization, acme_client: APIClient, state: Status
) -> None:
    job = factories.job(acme, status=state, metadata={"order": "17", "shop": "a"})
    answer = change(acme_client, job, metadata={"order": "18"})
    assert (answer.status_code, answer.json()["metadata"]) == (200, {"order": "18"})
    shown = acme_client.get(f"/v1/jobs/{job.pk}").json()
    assert (shown["metadata"], shown["status"]) == ({"order": "18"}, state)
    assert acme_client.get("/v1/jobs", {"metadata[shop]": "a"}).json()["data"] == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "metadata"),
        ({"metadata": None}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {"simulate": "an_earthquake"}}, "metadata.simulate"),
        ({"metadata": {}, "prompt": "Hello."}, "prompt"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(
    acme: Organization, acme_client: APIClient, body: dict[str, Any], named: str
) -> None:
    job = factories.job(acme, metadata={"order": "17"})
    answer = change(acme_client, job, **body)
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [named])
    job.refresh_from_db()
    assert job.metadata == {"order": "17"}


def test_watchers_hear_of_it(
    acme: Organization, acme_client: APIClient, redis: Redis, django_capture_on_commit_callbacks: Any
) -> None:
    job = dispatched(factories.job(acme))
    with redis.pubsub(ignore_subscribe_messages=True) as watcher:
        watcher.psubscribe("*")
        watcher.get_message(timeout=60)
        with django_capture_on_commit_callbacks(execute=True):
            change(acme_client, job, metadata={"order": "18"})
        message = watcher.get_message(timeout=60)
    assert message is not None
    assert job.pk.encode() in message["channel"] + message["data"]
