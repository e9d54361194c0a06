"""What people do with webhooks in the admin."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership, Organization, User
from accounts.scopes import Role
from jobs.models import WebhookDelivery, WebhookEndpoint
from jobs.webhooks import endpoints
from tests import factories

pytestmark = pytest.mark.usefixtures("redis")


def staff(of: Organization, role: str) -> Client:
    user = User.objects.create_user(f"{role}@example.com", "correct horse battery staple", is_staff=True)
    Membership.objects.create(user=user, organization=of, role=role)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def admin(acme: Organization) -> Client:
    return staff(acme, Role.ADMIN)


@pytest.fixture
def hook(acme: Organization) -> WebhookEndpoint:
    return factories.webhook(acme)


@pytest.fixture
def failed(hook: WebhookEndpoint) -> WebhookDelivery:
    delivery = factories.delivery(hook)
    WebhookDelivery.objects.update(state="failed", tries=7, next_try_at=None, finished_at=timezone.now())
    return delivery


def address(model: str, page: str, *args: Any) -> str:
    return reverse(f"admin:jobs_{model}_{page}", args=args)


def test_why_an_endpoint_was_disabled_is_told_and_no_secret_is(admin: Client, hook: WebhookEndpoint) -> None:
    endpoints.disable(hook, "The receiver responded with status 410.")
    page = admin.get(address("webhookendpoint", "change", hook.id)).content.decode()
    assert "The receiver responded with status 410." in page
    assert hook.secret not in page


def test_an_endpoint_is_switched_off_and_on(admin: Client, hook: WebhookEndpoint) -> None:
    for button, enabled in (("switch_off", False), ("switch_on", True)):
        admin.get(address("webhookendpoint", button, hook.id))  # Asks first.
        admin.post(address("webhookendpoint", button, hook.id))
        hook.refresh_from_db()
        assert (hook.disabled_at is None) == enabled


def test_a_failed_delivery_is_sent_once_more(admin: Client, failed: WebhookDelivery) -> None:
    admin.post(address("webhookdelivery", "redeliver", failed.id))
    failed.refresh_from_db()
    assert failed.state == "pending"


def test_many_are_sent_once_more(admin: Client, failed: WebhookDelivery) -> None:
    form = {"action": "redeliver_selected", "_selected_action": [failed.id]}
    admin.post(address("webhookdelivery", "changelist"), form)
    failed.refresh_from_db()
    assert failed.state == "pending"


def test_a_delivery_to_a_disabled_endpoint_says_why_it_is_not_sent(
    admin: Client, hook: WebhookEndpoint, failed: WebhookDelivery
) -> None:
    endpoints.change(endpoint=hook, enabled=False)
    response = admin.post(address("webhookdelivery", "redeliver", failed.id), follow=True)
    assert "The webhook is disabled." in response.content.decode()
    failed.refresh_from_db()
    assert failed.state == "failed"


def test_nothing_is_written_by_hand(admin: Client, hook: WebhookEndpoint, failed: WebhookDelivery) -> None:
    for model, row in (("webhookendpoint", hook), ("webhookdelivery", failed)):
        assert admin.get(address(model, "add")).status_code == 403
        for page in ("change", "delete"):
            assert admin.post(address(model, page, row.pk), {"post": "yes"}).status_code == 403


def test_who_may_not_manage_webhooks_does_not_see_them(acme: Organization, failed: WebhookDelivery) -> None:
    member = staff(acme, Role.MEMBER)
    assert member.get(address("webhookendpoint", "changelist")).status_code == 403
    assert member.post(address("webhookdelivery", "redeliver", failed.id)).status_code in (403, 404)
    failed.refresh_from_db()
    assert failed.state == "failed"
