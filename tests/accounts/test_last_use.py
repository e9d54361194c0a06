"""When and from where a key was last used."""

from datetime import timedelta

import pytest
import time_machine
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import ApiKey
from tests.accounts.conftest import Key

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.accounts.views")]


def use(api: Client, key: Key, address: str = "203.0.113.7") -> None:
    assert api.get("/thing", headers=key.headers, REMOTE_ADDR=address).status_code == 200


def test_a_use_is_written_with_its_address(api: Client, acme_key: Key):
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        use(api, acme_key)
    row = ApiKey.objects.get(pk=acme_key.row.pk)
    assert (row.last_used_at, row.last_used_ip) == (now, "203.0.113.7")


def test_it_is_written_at_most_once_a_minute(
    api: Client, acme_key: Key, django_assert_num_queries: DjangoAssertNumQueries
):
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        use(api, acme_key)
    with time_machine.travel(now + timedelta(seconds=59), tick=False), django_assert_num_queries(1):
        use(api, acme_key)
    with time_machine.travel(now + timedelta(seconds=60), tick=False), django_assert_num_queries(2):
        use(api, acme_key, "198.51.100.9")
    row = ApiKey.objects.get(pk=acme_key.row.pk)
    assert (row.last_used_at, row.last_used_ip) == (now + timedelta(seconds=60), "198.51.100.9")


def test_another_process_within_the_minute_is_not_overwritten(api: Client, acme_key: Key):
    """Both have read the key before either wrote."""
    from accounts.last_use import record

    now = timezone.now()
    with time_machine.travel(now, tick=False):
        record(acme_key.row.pk, None)
    with time_machine.travel(now + timedelta(seconds=1), tick=False):
        record(acme_key.row.pk, None)
    assert ApiKey.objects.get(pk=acme_key.row.pk).last_used_at == now


def test_it_is_written_after_the_answer_was_made(api: Client, acme_key: Key):
    """The server closes the response once it has sent it."""
    seen = []
    with connection.execute_wrapper(lambda execute, sql, *rest: seen.append(sql) or execute(sql, *rest)):
        response = api.get("/thing", headers=acme_key.headers)
        assert response.closed
    assert seen[0].startswith("SELECT")
    assert seen[-1].startswith("UPDATE")


def test_a_database_that_fails_then_spoils_no_answer(
    api: Client, acme_key: Key, caplog: pytest.LogCaptureFixture
):
    def fail(execute, sql, params, many, context):
        if sql.startswith("UPDATE"):
            raise OperationalError("gone")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        use(api, acme_key)
    assert "the last use of a key couldn't be written" in caplog.text


def test_a_wrong_secret_is_no_use(api: Client, acme_key: Key):
    api.get("/thing", headers={"X-API-Key": acme_key.text[::-1]})
    assert ApiKey.objects.get(pk=acme_key.row.pk).last_used_at is None
