"""An address with a slash at its end leads to the one without, for every method."""

import pytest
from rest_framework.test import APIClient

pytestmark = pytest.mark.usefixtures("redis", "store")


@pytest.mark.parametrize("method", ["get", "head", "post", "patch", "delete"])
@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("/v1/jobs/?status=queued&limit=2", "/v1/jobs?status=queued&limit=2"),
        ("/v1/jobs/job_1/events/", "/v1/jobs/job_1/events"),
        ("/v1/api-keys//", "/v1/api-keys"),
        ("/v1/jobs/%C3%BC/", "/v1/jobs/%C3%BC"),
    ],
)
def test_it_redirects_and_keeps_method_and_query(
    client: APIClient, method: str, address: str, target: str
) -> None:
    answer = client.generic(method.upper(), address)
    assert (answer.status_code, answer["Location"]) == (308, target)


def test_it_is_followed_to_an_answer(acme_client: APIClient) -> None:
    answer = acme_client.get("/v1/jobs/?limit=2", follow=True)
    assert (answer.status_code, answer.json()["data"]) == (200, [])


def test_the_root_has_none(client: APIClient) -> None:
    assert client.get("/v1/").status_code == 404
