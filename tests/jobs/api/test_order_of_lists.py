"""Lists go by the time of creation, newest first, and a client that polls their newest end misses nothing."""

import base64
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Event

import pytest
import time_machine
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.creation_order import creation_time
from accounts.limits import effective_limits
from accounts.models import ApiKey, Organization
from accounts.tenant import Tenant
from jobs.lifecycle import services
from jobs.models import Asset, Job, WebhookEndpoint
from jobs.states import Status
from tests import factories
from tests.jobs.clients import keyed

pytestmark = pytest.mark.usefixtures("redis", "store")

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
WRITERS = 4
JOBS_OF_A_WRITER = 5


def retried(acme: Organization, ended: Job) -> str:
    tenant = Tenant(acme, False, frozenset(), effective_limits(acme, livemode=False))
    return services.retry_job(tenant=tenant, job=ended).pk


@pytest.fixture
def ended(acme: Organization) -> Job:
    """A job that can be retried, older than all others."""
    default_storage.save("nowhere/reference.png", ContentFile(b"x"))
    now = timezone.now()
    kept = {"finished_at": now, "expires_at": now + timedelta(hours=6)}
    return factories.job(acme, status=Status.CANCELED, created_at=NOON - timedelta(days=1), **kept)


class TestTimes:
    @pytest.mark.parametrize("clock", [[0, 0, 0], [0, -5, -3]], ids=["stands still", "goes back"])
    def test_they_increase_whatever_the_clock_does(
        self, acme: Organization, ended: Job, clock: list[int]
    ) -> None:
        made = []
        for seconds in clock:
            with time_machine.travel(NOON + timedelta(seconds=seconds), tick=False):
                made.append(Job.objects.get(pk=retried(acme, ended)).created_at)
        assert [later - earlier for earlier, later in pairwise(made)] == [timedelta(milliseconds=1)] * 2

    def test_tenants_have_times_of_their_own(self, acme: Organization, initech: Organization) -> None:
        factories.job(acme, created_at=NOON + timedelta(hours=1))
        with time_machine.travel(NOON, tick=False):
            times = [
                creation_time(Job.objects.all(), organization, livemode=livemode)
                for organization, livemode in ((acme, False), (acme, True), (initech, False))
            ]
        assert times == [NOON + timedelta(hours=1, milliseconds=1), NOON, NOON]

    @pytest.mark.parametrize(
        ("model", "make"),
        [
            (Asset, factories.asset),
            (WebhookEndpoint, factories.webhook),
            (ApiKey, factories.key),
        ],
    )
    def test_other_objects_have_them_too(
        self, acme: Organization, model: type[Asset], make: Callable[[Organization], object]
    ) -> None:
        with time_machine.travel(NOON, tick=False):
            for _ in range(3):
                make(acme)
        times = set(model.objects.values_list("created_at", flat=True))
        assert times == {NOON + timedelta(milliseconds=number) for number in range(3)}


class TestCursors:
    def test_the_id_breaks_ties_alone(self, acme: Organization, acme_client: APIClient) -> None:
        late = factories.job(acme, created_at=NOON + timedelta(hours=1)).pk
        ties = sorted(factories.job(acme, created_at=NOON).pk for _ in range(3))
        early = factories.job(acme, created_at=NOON - timedelta(hours=1)).pk
        assert list(pages(acme_client)) == [late, *reversed(ties), early]

    def test_those_of_the_release_before_go_on(self, acme: Organization, acme_client: APIClient) -> None:
        jobs = [factories.job(acme).pk for _ in range(3)]
        cursor = base64.urlsafe_b64encode(jobs[1].encode()).decode()
        page = acme_client.get("/v1/jobs", {"cursor": cursor}).json()
        assert [job["id"] for job in page["data"]] == jobs[:1]

    def test_one_of_a_stranger_is_refused(self, acme_client: APIClient, initech: Organization) -> None:
        cursor = base64.urlsafe_b64encode(factories.job(initech).pk.encode()).decode()
        answer = acme_client.get("/v1/jobs", {"cursor": cursor})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")


def pages(client: APIClient) -> Iterator[str]:
    """The ids of all jobs, read in pages of one."""
    query = {"limit": "1"}
    while True:
        page = client.get("/v1/jobs", query).json()
        yield from (job["id"] for job in page["data"])
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]


def unknown(client: APIClient, known: set[str]) -> set[str]:
    """What a poller reads that stops at the first job which it knows."""
    found = set()
    for job_id in pages(client):
        if job_id in known:
            break
        found.add(job_id)
    return found


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
class TestPollers:
    def test_one_that_stops_at_the_first_known_job_misses_none(self, acme: Organization, ended: Job) -> None:
        def write() -> set[str]:
            try:
                return {retried(acme, ended) for _ in range(JOBS_OF_A_WRITER)}
            finally:
                connection.close()

        client, known = keyed(factories.key(acme)), {ended.pk}
        with ThreadPoolExecutor(WRITERS) as threads:
            writers = [threads.submit(write) for _ in range(WRITERS)]
            while not all(writer.done() for writer in writers):
                known |= unknown(client, known)
        known |= unknown(client, known)
        assert known == {ended.pk}.union(*(writer.result() for writer in writers))

    def test_a_job_that_commits_late_is_newer_than_those_seen_before(
        self, acme: Organization, ended: Job
    ) -> None:
        """Two creations at once: whoever comes second takes its time once the first has committed."""
        began = Event()

        def second() -> str:
            began.set()
            try:
                return retried(acme, ended)
            finally:
                connection.close()

        client = keyed(factories.key(acme))
        with ThreadPoolExecutor(1) as threads:
            with transaction.atomic():
                first = factories.job(
                    acme, created_at=creation_time(Job.objects.all(), acme, livemode=False)
                ).pk
                creating = threads.submit(second)
                began.wait()
                assert unknown(client, {ended.pk}) <= {first}
            late = creating.result()
        assert list(pages(client)) == [late, first, ended.pk]
