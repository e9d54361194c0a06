"""Forgetting an organization: all of it goes, nobody else's, and the command proves it."""

import threading
import time
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import ADDITION
from django.contrib.admin.models import LogEntry as AdminLogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from redis import Redis

from accounts import rate_limits, services
from accounts.models import ApiKey, IdempotencyClaim, Membership, Organization, User
from gpu_worker.contract import coordination, storage_keys
from jobs.billing import ended_jobs
from jobs.lifecycle import consents, fetching
from jobs.models import EndedJobs, Job, JobEvent, MonthlyUsage
from jobs.operations import erasure
from jobs.scheduling import dispatch
from tests import factories
from tests.jobs.stores import keys, put

pytestmark = pytest.mark.django_db


def forget(organization_id: str, *options: str) -> str:
    out = StringIO()
    call_command("forget_organization", organization_id, "--yes", *options, stdout=out)
    return out.getvalue()


def person(email: str, *organizations: Organization, **fields: Any) -> User:
    user = User.objects.create_user(email, "correct horse battery staple", **fields)
    for organization in organizations:
        Membership.objects.create(user=user, organization=organization)
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session.save()
    return user


def fill(organization: Organization, redis: Redis) -> Job:
    """Something of everything that a tenant can have; its job has ended."""
    factories.invitation(organization, f"invited-to-{organization.pk}@example.com".lower())
    key = services.mint_key(organization=organization, livemode=False, name="server", scopes=frozenset())[0]
    removed = services.mint_key(organization=organization, livemode=False, name="old", scopes=frozenset())[0]
    services.revoke_key(api_key=removed)
    removed.delete()
    consent = {"subject": f"a speaker of {organization.name}", "basis": "permission", "reference": "17"}
    job = factories.job(organization, api_key=key, livemode=True, consent=consent)
    consents.record(job)
    put(f"{storage_keys.inputs_prefix(organization.pk, job.pk)}reference.png")
    put(factories.asset(organization).key)
    factories.delivery(factories.webhook(organization))
    MonthlyUsage.objects.create(organization=organization, month="2026-01-01")
    IdempotencyClaim.objects.create(organization=organization, livemode=False, key="once")
    dispatch.dispatch_jobs()
    coordination.request_stop(redis, job.pk, coordination.Stop.CANCEL)
    redis.set(f"progress:{job.pk}", "{}")
    rate_limits.hit("create", 10, f"key:{key.pk}")
    rate_limits.hit("read", 10, f"user:1:{organization.pk}:live")
    Job.objects.filter(pk=job.pk).update(status="canceled", finished_at=timezone.now(), dispatched_at=None)
    job.refresh_from_db()
    JobEvent.objects.create(job=job, type="canceled", attempt=1)
    ended_jobs.count_end(job)
    AdminLogEntry.objects.create(
        user=User.objects.create_user(f"{organization.name}-support@example.com", is_superuser=True),
        content_type=ContentType.objects.get_for_model(Job),
        object_id=job.pk,
        object_repr=job.pk,
        action_flag=ADDITION,
    )
    return job


def everything() -> dict[str, str]:
    """The text of each table."""
    tables = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT string_agg(row::text, E'\\n') FROM \"{table}\" AS row")
            tables[table] = cursor.fetchone()[0] or ""
    return tables


def test_all_of_it_goes_and_nothing_of_anybody_else(
    acme: Organization, initech: Organization, redis: Redis, either_store: None
) -> None:
    person("charlie@example.com", initech)
    theirs = fill(initech, redis)
    before, their_redis = everything(), {*redis.keys()}
    their_files = keys()
    alice = person("alice@example.com", acme)
    fill(acme, redis)
    with_acme = everything()
    assert sum("alice@" in text or acme.pk in text for text in with_acme.values()) > 10

    said = forget(acme.pk)

    after = everything()
    assert "alice" not in "".join(after.values())
    assert acme.pk not in "".join(after.values())
    # The operator who looked at Acme's job is no member of it, and stays.
    assert [table for table, text in after.items() if "Acme" in text.replace("Acme-support", "")] == []
    assert not User.objects.filter(pk=alice.pk).exists()
    assert (keys(), {*redis.keys()} - their_redis) == (their_files, set())
    del before["jobs_virtualtime"]  # It goes on for all tenants.
    theirs_before = {line for text in before.values() for line in text.splitlines() if acme.pk not in line}
    assert theirs_before - {line for text in after.values() for line in text.splitlines()} == set()
    assert Job.objects.get() == theirs
    for line in ("removed 1 jobs.Job", "removed 2 objects", "removed 1 sessions", "removed 1 accounts.User"):
        assert line in said
    assert f"0 objects below org/{acme.pk}/, 0 entries of Redis" in said


def test_what_its_jobs_took_stays_counted_as_nobodys(acme: Organization, redis: Redis, store: Any) -> None:
    for organization in (acme, factories.organization("Globex")):
        fill(organization, redis)
        forget(organization.pk)
    counted = EndedJobs.objects.get()
    assert (counted.organization_id, counted.jobs) == ("", 2)


def test_people_of_other_organizations_and_operators_stay(
    acme: Organization, initech: Organization, redis: Redis, store: Any
) -> None:
    person("alice@example.com", acme)
    bob = person("bob@example.com", acme, initech)
    operator = person("operator@example.com", acme, is_superuser=True)
    forget(acme.pk)
    assert {*User.objects.all()} == {bob, operator}
    assert list(bob.organizations.all()) == [initech]
    assert Session.objects.count() == 2


def test_open_jobs_stop_it_before_anything_is_removed(acme: Organization, redis: Redis, store: Any) -> None:
    factories.job(acme)
    with pytest.raises(CommandError, match="1 jobs wait or run: use --cancel"):
        forget(acme.pk)
    acme.refresh_from_db()
    assert (acme.jobs.count(), acme.is_suspended) == (1, False)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_open_jobs_are_canceled_when_asked_and_their_workers_waited_for(
    acme: Organization, redis: Redis, store: Any
) -> None:
    job = factories.job(acme)
    dispatch.dispatch_jobs()
    coordination.hold_lease(redis, job.pk, 1, "worker")

    def leave() -> None:
        while coordination.read_control(redis, job.pk).stop is not coordination.Stop.CANCEL:  # type: ignore[union-attr]
            time.sleep(0.01)
        redis.delete(f"lease:{job.pk}:1")

    worker = threading.Thread(target=leave)
    worker.start()
    assert "removed 1 jobs.Job" in forget(acme.pk, "--cancel")
    worker.join()
    assert redis.keys("*job_*") == []
    assert redis.lrange("rq:queue:render-cpu", 0, -1) == []


def test_it_can_be_run_again_when_the_row_is_gone(acme: Organization, redis: Redis, store: Any) -> None:
    forget(acme.pk)
    put(f"org/{acme.pk}/assets/late/file")
    said = forget(acme.pk)
    assert "There is no organization" in said
    assert "removed 1 objects" in said
    assert keys() == set()


def test_what_is_left_is_told(acme: Organization, initech: Organization, redis: Redis, store: Any) -> None:
    traces = erasure.traces_of(acme)
    ApiKey.objects.filter(pk=factories.key(initech).split("_")[2]).update(name=f"made by {acme.pk}")
    put(f"org/{acme.pk}/assets/late/file")
    left = erasure.what_is_left(traces)
    assert left.rows == {"accounts_organization": 1, "accounts_apikey": 1, "auditlog_logentry": 1}
    assert (left.objects, left.nothing) == (1, False)


def test_it_is_asked_for(
    acme: Organization, redis: Redis, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: "Initech")
    with pytest.raises(CommandError, match="Nothing was removed"):
        call_command("forget_organization", acme.pk, stdout=StringIO())
    monkeypatch.setattr("builtins.input", lambda prompt: "Acme")
    call_command("forget_organization", acme.pk, stdout=StringIO())
    assert not Organization.objects.filter(pk=acme.pk).exists()


@pytest.mark.parametrize("name", ["Acme", "org_", "org_%", "../.."])
def test_what_is_no_id_is_refused(name: str) -> None:
    with pytest.raises(CommandError, match="no id of an organization"):
        forget(name)


def test_a_fetch_that_ends_after_all_was_forgotten_leaves_no_file(acme: Organization, store: Any) -> None:
    job = factories.job(acme)
    put(f"{storage_keys.inputs_prefix(acme.pk, job.pk)}reference.png")
    assert default_storage.exists(f"{storage_keys.inputs_prefix(acme.pk, job.pk)}reference.png")
    Job.objects.all().delete()
    fetching._remove_unless_kept(job)
    assert keys() == set()
