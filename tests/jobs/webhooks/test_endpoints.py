"""The endpoints of `/v1/webhooks`, and a job's own `webhook_url`."""

from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import Organization
from jobs.models import Job, WebhookDelivery, WebhookEndpoint
from jobs.webhooks import endpoints
from tests import factories
from tests.jobs.clients import form, keyed

pytestmark = pytest.mark.usefixtures("redis", "store")

HOOK = "https://receiver.example/hook"
ALL = ["job.processing", "job.succeeded", "job.failed", "job.canceled"]


def post(client: APIClient, path: str, body: Any = None) -> Any:
    return client.post(f"/v1/webhooks{path}", {} if body is None else body, format="json")


def patch(client: APIClient, hook: WebhookEndpoint, body: Any) -> Any:
    return client.patch(f"/v1/webhooks/{hook.id}", body, format="json")


def fields_of(response: Any) -> dict[str, str]:
    assert response.status_code == 422
    return {error["field"].split(".")[0]: error["code"] for error in response.json()["errors"]}


def test_a_new_webhook_shows_its_secret_this_once(acme_client: APIClient) -> None:
    response = post(acme_client, "", {"url": HOOK})
    created = response.json()
    assert (response.status_code, created["object"], created["event_types"]) == (201, "webhook", ALL)
    assert created["secret"].startswith("whsec_")
    shown = acme_client.get(f"/v1/webhooks/{created['id']}").json()
    del created["secret"]
    assert shown == created
    assert acme_client.get("/v1/webhooks").json() == {"data": [shown], "next_cursor": None}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, {"url": "required"}),
        ({"url": 7}, {"url": "invalid"}),
        ({"url": "http://receiver.example"}, {"url": "invalid"}),
        ({"url": "receiver.example"}, {"url": "invalid"}),
        ({"url": "https://"}, {"url": "invalid"}),
        ({"url": "https://alice:secret@receiver.example"}, {"url": "credentials"}),
        ({"url": "https://127.0.0.1/hook"}, {"url": "private_address"}),
        ({"url": "https://[fe80::1]/hook"}, {"url": "private_address"}),
        ({"url": "https://0x7f.1/hook"}, {"url": "private_address"}),
        ({"url": "http://localhost:3000/hook"}, {"url": "private_address"}),
        ({"url": "https://receiver.example/" + "x" * 2048}, {"url": "invalid"}),
        ({"url": HOOK, "event_types": []}, {"event_types": "min_length"}),
        ({"url": HOOK, "event_types": ["job.eaten"]}, {"event_types": "invalid_choice"}),
        ({"url": HOOK, "event_types": ["job.failed", "job.failed"]}, {"event_types": "duplicate"}),
        ({"url": HOOK, "event_types": "job.failed"}, {"event_types": "not_a_list"}),
        ({"url": HOOK, "description": "x" * 256}, {"description": "max_length"}),
        ({"url": HOOK, "secret": "whsec_mine"}, {"secret": "unknown"}),
    ],
)
def test_what_does_not_fit_is_named(acme_client: APIClient, body: Any, named: dict[str, str]) -> None:
    assert fields_of(post(acme_client, "", body)) == named
    assert not WebhookEndpoint.objects.exists()


def test_lists_come_in_pages_and_know_no_other_parameters(acme: Organization, acme_client: APIClient) -> None:
    hooks = [factories.webhook(acme).id for _ in range(3)]
    first = acme_client.get("/v1/webhooks?limit=2").json()
    second = acme_client.get(f"/v1/webhooks?limit=2&cursor={first['next_cursor']}").json()
    assert [row["id"] for row in first["data"] + second["data"]] == hooks[::-1]
    for path in ("", f"/{hooks[0]}/deliveries"):
        assert fields_of(acme_client.get(f"/v1/webhooks{path}?state=failed")) == {"state": "unknown"}


def test_there_is_a_limit_to_how_many_there_may_be(acme: Organization, acme_client: APIClient) -> None:
    for _ in range(endpoints.MAX_ENDPOINTS):
        factories.webhook(acme)
    assert post(acme_client, "", {"url": HOOK}).status_code == 409


def test_a_change_leaves_alone_what_it_does_not_name(acme: Organization, acme_client: APIClient) -> None:
    hook = factories.webhook(acme, description="ours")
    changed = patch(acme_client, hook, {"event_types": ["job.failed"]}).json()
    assert (changed["url"], changed["event_types"], changed["description"]) == (HOOK, ["job.failed"], "ours")


@pytest.mark.parametrize(
    "body", [{"enabled": "true"}, {"enabled": 1}, {"enabled": None}, {"disabled_at": None}]
)
def test_a_change_that_does_not_fit_changes_nothing(
    acme: Organization, acme_client: APIClient, body: dict[str, Any]
) -> None:
    hook = factories.webhook(acme)
    assert patch(acme_client, hook, {"url": "https://other.example", **body}).status_code == 422
    hook.refresh_from_db()
    assert hook.url == HOOK


def test_a_webhook_can_be_switched_off_and_on(acme: Organization, acme_client: APIClient) -> None:
    hook = factories.webhook(acme)
    off = patch(acme_client, hook, {"enabled": False}).json()
    assert (off["enabled"], off["disabled_reason"]) == (False, "Disabled manually.")
    on = patch(acme_client, hook, {"enabled": True}).json()
    assert (on["enabled"], on["disabled_at"], on["disabled_reason"]) == (True, None, "")


def test_why_a_webhook_was_disabled_stays_visible_when_it_is_switched_off_as_well(
    acme: Organization, acme_client: APIClient
) -> None:
    hook = factories.webhook(acme)
    endpoints.disable(hook, "The receiver responded with status 410.")
    shown = patch(acme_client, hook, {"enabled": False}).json()
    assert shown["disabled_reason"] == "The receiver responded with status 410."


def test_a_deleted_webhook_is_gone_with_its_deliveries(acme: Organization, acme_client: APIClient) -> None:
    hook = factories.webhook(acme)
    factories.delivery(hook)
    assert acme_client.delete(f"/v1/webhooks/{hook.id}").status_code == 204
    assert acme_client.get(f"/v1/webhooks/{hook.id}").status_code == 404
    assert not WebhookDelivery.objects.exists()


def test_rotation_shows_the_new_secret(acme: Organization, acme_client: APIClient) -> None:
    hook = factories.webhook(acme)
    rotated = post(acme_client, f"/{hook.id}/rotate-secret", {"overlap_seconds": 60}).json()
    old = hook.secret
    hook.refresh_from_db()
    assert (rotated["secret"], hook.previous_secret) == (hook.secret, old)
    assert rotated["secret"] != old


def test_a_test_message_is_a_delivery_like_any_other(acme: Organization, acme_client: APIClient) -> None:
    hook = factories.webhook(acme)
    response = post(acme_client, f"/{hook.id}/test")
    sent = response.json()
    assert (response.status_code, sent["event_type"], sent["state"]) == (202, "webhook.test", "pending")
    assert (sent["payload"]["type"], sent["payload"]["data"]["id"]) == ("webhook.test", hook.id)
    assert acme_client.get(f"/v1/webhooks/{hook.id}/deliveries").json()["data"] == [sent]


def test_what_a_delivery_said_of_a_job_is_shown_to_those_who_may_read_jobs(acme: Organization) -> None:
    hook = factories.webhook(acme)
    delivery = factories.delivery(hook)
    payloads = []
    for scopes in ({"webhooks:write"}, {"webhooks:write", "jobs:read"}):
        client = keyed(factories.key(acme, scopes=frozenset(scopes)))
        (listed,) = client.get(f"/v1/webhooks/{hook.id}/deliveries").json()["data"]
        again = post(client, f"/{hook.id}/deliveries/{delivery.id}/redeliver").json()
        assert listed["payload"] == again["payload"]
        payloads.append(listed["payload"])
    assert payloads == [None, delivery.payload]


def test_a_failed_delivery_can_be_sent_once_more(acme: Organization, acme_client: APIClient) -> None:
    hook = factories.webhook(acme)
    delivery = factories.delivery(hook)
    WebhookDelivery.objects.update(state="failed", tries=7, next_try_at=None, finished_at=timezone.now())
    response = post(acme_client, f"/{hook.id}/deliveries/{delivery.id}/redeliver")
    again = response.json()
    assert (response.status_code, again["id"], again["state"]) == (202, delivery.id, "pending")
    assert again["next_try_at"] is not None


def test_nothing_is_sent_to_a_disabled_webhook_on_request_either(
    acme: Organization, acme_client: APIClient
) -> None:
    hook = factories.webhook(acme)
    delivery = factories.delivery(hook)
    endpoints.change(endpoint=hook, enabled=False)
    for path in ("/test", f"/deliveries/{delivery.id}/redeliver"):
        response = post(acme_client, f"/{hook.id}{path}")
        assert (response.status_code, response.json()["code"]) == (409, "conflict")


def test_a_delivery_is_found_under_its_own_webhook_only(acme: Organization, acme_client: APIClient) -> None:
    delivery = factories.delivery(factories.webhook(acme))
    other = factories.webhook(acme)
    assert post(acme_client, f"/{other.id}/deliveries/{delivery.id}/redeliver").status_code == 404


def test_the_default_secret_stays_the_same_and_each_mode_has_its_own(
    acme: Organization, acme_client: APIClient
) -> None:
    live = keyed(factories.key(acme, livemode=True))
    secrets = [
        client.get("/v1/webhooks/secret").json()["secret"] for client in (acme_client, acme_client, live)
    ]
    assert secrets[0] == secrets[1] != secrets[2]


class TestAJobsOwnAddress:
    def test_it_is_kept_with_the_job_and_shown_nowhere(
        self, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        response = acme_client.post("/v1/jobs", form(portrait, speech, webhook_url=f"{HOOK}?token=s3cret"))
        assert response.status_code == 202
        assert Job.objects.get().webhook_url == f"{HOOK}?token=s3cret"
        assert "s3cret" not in response.content.decode()

    @pytest.mark.parametrize(
        "url",
        [
            "http://receiver.example",
            "https://a:b@receiver.example",
            "https://192.168.1.1/hook",
            "nonsense",
        ],
    )
    def test_one_that_does_not_fit_is_refused(
        self, acme_client: APIClient, portrait: bytes, speech: bytes, url: str
    ) -> None:
        response = acme_client.post("/v1/jobs", form(portrait, speech, webhook_url=url))
        assert list(fields_of(response)) == ["webhook_url"]
