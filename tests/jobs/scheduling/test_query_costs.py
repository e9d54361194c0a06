"""What requests cost the database: few queries, and none that grows with the table."""

from functools import partial

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import Organization
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.spec import OLDEST_SPEC_VERSION, SPEC_VERSION
from jobs.scheduling import queries
from jobs.scheduling.fair_queue import TenantKey
from tests import factories
from tests.jobs.clients import form
from tests.jobs.query_plans import ENDED, copy_rows, rows_read

pytestmark = pytest.mark.usefixtures("redis", "store")


def test_a_job_is_created_with_thirteen_queries_at_most(
    acme_client: APIClient, portrait: bytes, speech: bytes
) -> None:
    acme_client.get("/v1/me")  # The key's last use is written, which happens once a minute.
    with CaptureQueriesContext(connection) as captured:
        response = acme_client.post("/v1/jobs", form(portrait, speech), headers={"idempotency-key": "a"})
    assert response.status_code == 202
    # Inside a test's transaction each transaction of ours is a savepoint.
    sent = [query["sql"] for query in captured if "SAVEPOINT" not in query["sql"]]
    assert len(sent) <= 13, sent


def test_dispatch_reads_the_jobs_that_wait_and_those_at_work_and_no_others(acme: Organization) -> None:
    sent = {"status": "queued", "dispatched_at": "2026-01-01T00:00:00Z"}
    copy_rows(
        factories.job(acme, dispatched_at=timezone.now()),
        (3000, ENDED),
        (100, sent | {"engine": "infinitetalk"}),
        (100, {"status": "processing"}),
        (100, {"status": "queued", "dispatched_at": None, "urls": "to be fetched"}),
        (10, {"status": "queued", "dispatched_at": None}),
    )
    waiting, at_work = 10, 1 + 100 + 100

    for version in (OLDEST_SPEC_VERSION, SPEC_VERSION):
        # Once to find the keys, once to fetch what they belong to and its organization with two plans.
        first = partial(queries.first_of_each_tenant, EngineName.PREVIEW, 5, newest_version=version)
        assert len(first()[TenantKey(acme.id, False)]) == 5
        assert rows_read(first) <= waiting + 5 * 4
    assert rows_read(lambda: queries.has_waiting_jobs(EngineName.PREVIEW)) == 1
    assert queries.at_work(EngineName.PREVIEW).processing == 100
    assert rows_read(lambda: queries.at_work(EngineName.PREVIEW)) == at_work
