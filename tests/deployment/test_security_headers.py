import pytest
from django.test import Client

from accounts.models import User


def policy(path: str, client: Client | None = None) -> str:
    return str((client or Client()).get(path).headers["Content-Security-Policy"])


def test_nothing_runs_because_of_what_the_api_answers() -> None:
    assert policy("/healthz") == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.django_db
def test_a_page_loads_and_posts_at_home_alone(client: Client) -> None:
    client.force_login(User.objects.create_superuser("alice@example.com"))
    found = policy("/admin/", client)

    assert "default-src 'self'" in found
    assert "form-action 'self'" in found
    assert "frame-ancestors 'none'" in found
