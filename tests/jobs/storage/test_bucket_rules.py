"""The rules that a bucket is given, as an S3 server keeps them."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from environs import Env
from pytest_django import Settings

from accounts.models import Organization, Plan
from gpu_worker.common.object_store import storage_backend
from jobs.storage.bucket_rules import days_kept
from tests import factories

pytestmark = pytest.mark.django_db
THEIRS = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 90}}


@pytest.fixture(scope="module")
def rule_keeper() -> Iterator[str]:
    """The address of moto, an S3 server that knows lifecycle and CORS."""
    pytest.importorskip("moto")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        while not answers(port):
            assert server.poll() is None, "the store ended"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
        server.terminate()


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def client(rule_keeper: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Speaks to the bucket of the deployment, which is new."""
    for name, value in {
        "R2_BUCKET": "bucket",
        "R2_ENDPOINT_URL": rule_keeper,
        "R2_ACCESS_KEY_ID": "id",
        "R2_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    settings.STORAGES = settings.STORAGES | {"default": storage_backend(Env(), Path())}
    names = {"aws_access_key_id": "id", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    maker = boto3.client("s3", endpoint_url=rule_keeper, **names)
    maker.create_bucket(Bucket="bucket")
    yield default_storage.connection.meta.client  # type: ignore[attr-defined]
    maker.delete_bucket(Bucket="bucket")
    maker.close()
    default_storage.connection.meta.client.close()  # type: ignore[attr-defined]


def setup(*options: str) -> str:
    out = StringIO()
    call_command("storage_setup", *options, stdout=out)
    return out.getvalue()


def rules(client: Any) -> dict[str, dict[str, Any]]:
    """All rules of the bucket by id."""
    lifecycle = client.get_bucket_lifecycle_configuration(Bucket="bucket")["Rules"]
    cors = client.get_bucket_cors(Bucket="bucket")["CORSRules"]
    return {rule["ID"]: rule for rule in [*lifecycle, *cors]}


def test_the_net_is_one_day_and_unfinished_uploads_end_after_one(client: Any) -> None:
    setup()
    found = rules(client)
    assert found["avatar-net"]["Expiration"] == {"Days": 1}
    assert found["avatar-net"]["Filter"] == {"Prefix": "org/"}
    abort = found["avatar-unfinished-uploads"]["AbortIncompleteMultipartUpload"]
    assert abort == {"DaysAfterInitiation": 1}
    assert {rule["Status"] for name, rule in found.items() if name != "avatar-watching"} == {"Enabled"}


def test_pages_of_the_named_origins_upload_and_those_of_any_watch(client: Any) -> None:
    setup("--origin", "https://app.example.com", "--origin", "http://localhost:5173")
    found = rules(client)
    uploading, watching = found["avatar-uploading"], found["avatar-watching"]
    assert (uploading["AllowedMethods"], uploading["AllowedHeaders"]) == (
        ["PUT"],
        ["content-type", "if-none-match"],
    )
    assert uploading["AllowedOrigins"] == ["https://app.example.com", "http://localhost:5173"]
    assert (watching["AllowedMethods"], watching["AllowedOrigins"]) == (["GET", "HEAD"], ["*"])
    assert "Content-Range" in watching["ExposeHeaders"]


def test_without_an_origin_no_page_uploads(client: Any) -> None:
    setup("--origin", "https://app.example.com")
    setup()
    assert "avatar-uploading" not in rules(client)


def test_run_again_it_changes_nothing_and_says_so(client: Any) -> None:
    first = setup("--origin", "https://app.example.com")
    before = rules(client)
    again = setup("--origin", "https://app.example.com")
    assert (first.count("  written"), again.count("  is there"), again.count("  written")) == (4, 4, 0)
    assert rules(client) == before


def test_the_rules_of_others_stay(client: Any) -> None:
    client.put_bucket_lifecycle_configuration(Bucket="bucket", LifecycleConfiguration={"Rules": [THEIRS]})
    setup()
    setup()
    assert rules(client)["theirs"] == THEIRS
    assert len(rules(client)) == 4


def test_a_dry_run_writes_nothing(client: Any) -> None:
    assert setup("--dry-run").count("  would be written") == 3
    with pytest.raises(client.exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
        rules(client)


@pytest.mark.parametrize(
    ("hours", "days"), [(0, 1), (6, 1), (12, 1), (13, 2), (24, 2), (36, 2), (37, 3), (720, 31)]
)
def test_the_net_leaves_time_to_wait_to_render_and_to_be_kept(hours: int, days: int) -> None:
    assert days_kept(timedelta(hours=hours)) == days


def test_the_longest_retention_counts_wherever_it_is_said(client: Any) -> None:
    acme = factories.organization()
    for said_by, days in [
        (Plan.objects.filter(code="scale"), 2),
        (Organization.objects.filter(pk=acme.pk), 3),
        (acme.api_keys.filter(pk=factories.key(acme).split("_")[2]), 4),
        (acme.jobs.filter(pk=factories.job(acme).pk), 5),
    ]:
        assert said_by.update(retention_seconds=(days - 1) * 24 * 3600) == 1
        setup()
        assert rules(client)["avatar-net"]["Expiration"] == {"Days": days}


@pytest.mark.parametrize(
    "origin", ["app.example.com", "https://app.example.com/", "*", "https://*.example.com"]
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(CommandError, match="is no origin"):
        setup("--origin", origin)


def test_a_folder_has_no_rules(store: Path) -> None:
    assert "folder" in setup()
