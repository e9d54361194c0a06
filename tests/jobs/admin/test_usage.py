"""What an organization and a key have used, on their admin pages."""

import re

import pytest
from django.test import Client

from accounts.models import ApiKey, Organization
from accounts.services import ALL_SCOPES, mint_key
from jobs.models import Job
from tests import factories
from tests.accounts.conftest import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(db: None) -> Organization:
    return factories.organization(plan="pro")


@pytest.fixture
def staff(acme: Organization) -> Client:
    client = Client()
    client.force_login(make_person("olga@example.com", acme, is_staff=True))
    return client


def text_of(client: Client, address: str) -> str:
    page = client.get(address).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def used(of: Organization, api_key: ApiKey) -> Job:
    """A live job that waits, and had used something when it was handed back."""
    job = factories.job(of, livemode=True, api_key=api_key)
    Job.objects.filter(pk=job.pk).update(charged_seconds="4.000", gpu_seconds=9.5, cost_usd="0.120000")
    return job


def test_an_organization_shows_usage_quota_and_what_goes_on(staff: Client, acme: Organization):
    api_key, _ = mint_key(organization=acme, livemode=True, name="x", scopes=ALL_SCOPES)
    used(acme, api_key)
    page = text_of(staff, f"/admin/accounts/organization/{acme.pk}/change/")
    assert "live 1 4 of 36,000 9.5 0.120000 0 of 3 1 of 100" in page
    assert "test 0 0 0 0.000000 0 of 2 0 of 50" in page


def test_a_key_shows_its_own_usage_only(staff: Client, acme: Organization):
    busy, idle = (
        mint_key(organization=acme, livemode=True, name=name, scopes=ALL_SCOPES)[0]
        for name in ("busy", "idle")
    )
    used(acme, busy)
    path = "/admin/accounts/apikey/{}/change/"
    assert "1 job · 4 video seconds · 9.5 GPU seconds · 0.120000 USD" in text_of(staff, path.format(busy.pk))
    assert "Used None." in text_of(staff, path.format(idle.pk))
