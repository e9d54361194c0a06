import pytest
from rest_framework.test import APIClient


def policy(path: str) -> str:
    return str(APIClient().get(path).headers["Content-Security-Policy"])


def test_nothing_runs_because_of_what_the_api_answers() -> None:
    assert policy("/healthz") == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.django_db
def test_a_page_loads_and_posts_at_home_alone() -> None:
    found = policy("/admin/login/")

    assert "default-src 'self'" in found
    assert "form-action 'self'" in found
    assert "frame-ancestors 'none'" in found
