"""`/v1/usage`, `/v1/me` and the filters of the list."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from rest_framework.test import APIClient

from accounts.models import ApiKey, Organization
from jobs.models import Job
from tests import factories
from tests.jobs.clients import keyed

pytestmark = pytest.mark.usefixtures("redis", "store")


@pytest.fixture
def live(acme: Organization) -> APIClient:
    return keyed(factories.key(acme, livemode=True))


def charged(of: Organization, day: int, seconds: str, **fields: object) -> Job:
    return factories.job(
        of,
        livemode=True,
        created_at=datetime(2026, 11, day, 12, tzinfo=UTC),
        charged_seconds=Decimal(seconds),
        cost_usd=Decimal(seconds) / 10,
        gpu_seconds=1.5,
        **fields,
    )


def test_usage_adds_up_by_day(acme: Organization, initech: Organization, live: APIClient) -> None:
    charged(acme, 3, "4")
    charged(acme, 3, "2.5")
    charged(acme, 4, "1")
    charged(acme, 5, "9")
    charged(initech, 3, "100")
    answer = live.get("/v1/usage", {"from": "2026-11-03", "to": "2026-11-04"}).json()
    assert [(row["day"], row["jobs"], row["video_seconds"], row["cost_usd"]) for row in answer["data"]] == [
        ("2026-11-03", 2, 6.5, "0.650000"),
        ("2026-11-04", 1, 1.0, "0.100000"),
    ]
    assert (answer["total"]["jobs"], answer["total"]["gpu_seconds"]) == (3, 4.5)


def test_usage_adds_up_by_key(acme: Organization, live: APIClient) -> None:
    key = ApiKey.objects.get()
    charged(acme, 3, "4", api_key=key)
    charged(acme, 3, "1")
    answer = live.get("/v1/usage", {"from": "2026-11-01", "to": "2026-11-30", "group_by": "key"}).json()
    assert {row["key_id"]: row["video_seconds"] for row in answer["data"]} == {key.pk: 4.0, None: 1.0}


def test_usage_of_test_mode_is_apart(acme: Organization, acme_client: APIClient) -> None:
    charged(acme, 3, "4")
    assert acme_client.get("/v1/usage", {"from": "2026-11-01", "to": "2026-11-30"}).json()["data"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-11-05", "to": "2026-11-04"}, "from"),
        ({"from": "2024-01-01", "to": "2026-01-01"}, "from"),
        ({"to": "2026-02-30"}, "to"),
        ({"group_by": "hour"}, "group_by"),
        ({"since": "2026-11-01"}, "since"),
    ],
)
def test_a_bad_parameter_of_usage_is_named(acme_client: APIClient, query: dict[str, str], field: str) -> None:
    answer = acme_client.get("/v1/usage", query)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


def test_me_tells_the_key_the_plan_and_what_is_left(acme: Organization, live: APIClient) -> None:
    factories.job(acme, livemode=True)
    me = live.get("/v1/me").json()
    assert (me["organization"]["name"], me["key"]["mode"], me["plan"]["code"]) == ("Acme", "live", "free")
    limits, left = me["plan"]["limits"], me["plan"]["left"]
    assert left["queued_jobs"] == limits["queued_jobs"] - 1
    assert left["video_seconds_this_month"] == limits["video_seconds_per_month"]


class TestFilters:
    def test_jobs_can_be_chosen_by_time(self, acme: Organization, live: APIClient) -> None:
        jobs = [charged(acme, day, "1") for day in (3, 4, 5)]
        query = {"created_after": "2026-11-04T12:00:00Z", "created_before": "2026-11-05T12:00:00Z"}
        assert [job["id"] for job in live.get("/v1/jobs", query).json()["data"]] == [jobs[1].id]

    def test_jobs_can_be_chosen_by_metadata(self, acme: Organization, acme_client: APIClient) -> None:
        wanted = factories.job(acme, metadata={"order": "17"})
        factories.job(acme, metadata={"order": "18"})
        page = acme_client.get("/v1/jobs", {"metadata[order]": "17"}).json()
        assert [job["id"] for job in page["data"]] == [wanted.id]

    @pytest.mark.parametrize(
        "query", [{"created_after": "noon"}, {"created_after": "2026-11-04T12:00:00"}, {"colour": "red"}]
    )
    def test_a_filter_that_cannot_be_read_is_named(
        self, acme_client: APIClient, query: dict[str, str]
    ) -> None:
        answer = acme_client.get("/v1/jobs", query)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, next(iter(query)))
