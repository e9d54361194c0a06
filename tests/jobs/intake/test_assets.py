"""Assets: files that are put into the store and taken by jobs."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.utils import timezone
from environs import Env
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.models import Organization
from gpu_worker.common.object_store import storage_backend
from jobs.intake import assets
from jobs.models import Asset
from jobs.operations.reconcile import reconcile
from tests import factories
from tests.jobs.clients import keyed

pytestmark = pytest.mark.usefixtures("redis", "store")


def announce(client: APIClient, content: bytes, content_type: str = "image/png", **headers: str) -> Any:
    body = {"content_type": content_type, "size_bytes": len(content), "filename": "portrait.png"}
    return client.post("/v1/assets", body, format="json", headers=headers)


def put(upload: dict[str, Any], content: bytes, **changes: str) -> Any:
    headers = {**upload["headers"], **{name.replace("_", "-"): value for name, value in changes.items()}}
    address = urlsplit(upload["url"]).path
    return APIClient().generic(
        upload["method"],
        address,
        content,
        content_type=headers["Content-Type"],
        CONTENT_LENGTH=headers["Content-Length"],
    )


def uploaded(client: APIClient, content: bytes, content_type: str = "image/png") -> str:
    """The id of a new asset that holds `content`."""
    asset = announce(client, content, content_type).json()
    assert put(asset["upload"], content).status_code == 204
    return str(asset["id"])


def stored_files(store: Path) -> list[Path]:
    return [path for path in store.rglob("*") if path.is_file()]


def test_a_file_is_announced_uploaded_and_there(acme_client: APIClient, portrait: bytes, store: Path) -> None:
    response = announce(acme_client, portrait)
    asset = response.json()
    assert (response.status_code, asset["object"], asset["uploaded"]) == (201, "asset", False)
    assert asset["upload"]["headers"] == {"Content-Type": "image/png", "Content-Length": str(len(portrait))}
    assert put(asset["upload"], portrait).status_code == 204
    told = acme_client.get(f"/v1/assets/{asset['id']}").json()
    assert told == asset | {"uploaded": True, "upload": None}
    assert [path.read_bytes() for path in stored_files(store)] == [portrait]


def test_only_who_may_write_is_told_where_to_upload(acme_client: APIClient, portrait: bytes) -> None:
    asset = announce(acme_client, portrait).json()
    assert acme_client.get(f"/v1/assets/{asset['id']}").json()["upload"] is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"content_type": "png"}, "content_type"),
        ({"content_type": "image/png\r\nX-Other: 1"}, "content_type"),
        ({"content_type": 7}, "content_type"),
        ({"size_bytes": 0}, "size_bytes"),
        ({"size_bytes": -1}, "size_bytes"),
        ({"size_bytes": "10"}, "size_bytes"),
        ({"size_bytes": 1.5}, "size_bytes"),
        ({"filename": "a\x00b"}, "filename"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_field_that_does_not_fit_is_named(
    acme_client: APIClient, fields: dict[str, Any], named: str
) -> None:
    body = {"content_type": "image/png", "size_bytes": 10, **fields}
    response = acme_client.post("/v1/assets", body, format="json")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, named)


def test_a_file_above_the_plans_limit_is_not_even_announced(
    acme: Organization, acme_client: APIClient
) -> None:
    acme.test_plan.max_upload_bytes = 9
    acme.test_plan.save()
    response = announce(acme_client, bytes(10))
    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize("media_type", ["audio/webm;codecs=opus", "audio/webm; codecs=opus", "IMAGE/png"])
def test_a_media_type_may_have_parameters(acme_client: APIClient, media_type: str) -> None:
    asset = announce(acme_client, bytes(10), media_type).json()
    assert put(asset["upload"], bytes(10)).status_code == 204


@pytest.mark.parametrize("media_type", ["application/pdf", "text/html; charset=utf-8", "image/svg+xml"])
def test_what_no_job_takes_is_refused(acme_client: APIClient, media_type: str) -> None:
    answer = announce(acme_client, bytes(10), media_type)
    assert answer.status_code == 422
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [
        ("content_type", "unsupported_media_type")
    ]


def test_the_same_announcement_sent_again_makes_one_asset(acme_client: APIClient, portrait: bytes) -> None:
    key = {"idempotency-key": "portrait-1"}
    first = announce(acme_client, portrait, **key)
    again = announce(acme_client, portrait, **key)
    assert (again.status_code, again["Idempotent-Replayed"], again.json()["id"]) == (
        201,
        "true",
        first.json()["id"],
    )
    assert put(again.json()["upload"], portrait).status_code == 204
    assert announce(acme_client, portrait, **key).json()["uploaded"] is True
    assert announce(acme_client, portrait + b"x", **key).json()["code"] == "idempotency_key_reused"
    assert Asset.objects.count() == 1


class TestPut:
    @pytest.mark.parametrize(
        ("content", "changes", "named"),
        [
            (b"0123456789", {"Content_Type": "image/jpeg"}, "Content-Type"),
            (b"0123456789", {"Content_Type": ""}, "Content-Type"),
            (b"01234567890", {"Content_Length": "11"}, "Content-Length"),
            (b"012345678", {"Content_Length": "9"}, "Content-Length"),
            (b"", {"Content_Length": "0"}, "Content-Length"),
        ],
    )
    def test_another_type_or_size_than_announced_is_refused(
        self, acme_client: APIClient, store: Path, content: bytes, changes: dict[str, str], named: str
    ) -> None:
        upload = announce(acme_client, bytes(10)).json()["upload"]
        response = put(upload, content, **changes)
        assert (response.status_code, response.json()["errors"][0]["field"]) == (422, named)
        assert stored_files(store) == []

    def test_a_second_upload_overwrites_nothing(self, acme_client: APIClient, store: Path) -> None:
        upload = announce(acme_client, b"first").json()["upload"]
        assert put(upload, b"first").status_code == 204
        again = put(upload, b"other")
        assert (again.status_code, again.json()["code"]) == (409, "conflict")
        assert [path.read_bytes() for path in stored_files(store)] == [b"first"]

    def test_an_upload_that_breaks_off_leaves_nothing_and_can_be_repeated(
        self, acme_client: APIClient, store: Path
    ) -> None:
        created = announce(acme_client, b"0123456789").json()
        asset = Asset.objects.get(pk=created["id"])

        class Broken:
            def read(self, size: int) -> bytes:
                raise OSError("the client hung up")

        with pytest.raises(OSError, match="hung up"):
            assets.receive(asset, "image/png", 10, Broken())  # type: ignore[arg-type]
        assert stored_files(store) == []
        assert put(created["upload"], b"0123456789").status_code == 204

    def test_the_address_works_for_a_day_and_not_once_the_asset_is_gone(self, acme_client: APIClient) -> None:
        first, second = (announce(acme_client, b"0123456789").json() for _ in range(2))
        with time_machine.travel(timezone.now() + timedelta(hours=24, seconds=1)):
            assert put(first["upload"], b"0123456789").status_code == 410
        acme_client.delete(f"/v1/assets/{second['id']}")
        assert put(second["upload"], b"0123456789").status_code == 410

    @pytest.mark.parametrize("method", ["GET", "PUT"])
    def test_a_token_that_we_never_signed_for_this_is_not_found(
        self, acme_client: APIClient, method: str
    ) -> None:
        path = urlsplit(announce(acme_client, b"0123456789").json()["upload"]["url"]).path
        address = path if method == "GET" else path + "x"
        assert APIClient().generic(method, address, b"", content_type="image/png").status_code == 404


class TestInJobs:
    def test_a_job_takes_its_own_copy(
        self, acme_client: APIClient, portrait: bytes, speech: bytes, store: Path
    ) -> None:
        image, audio = uploaded(acme_client, portrait), uploaded(acme_client, speech, "audio/wav")
        response = acme_client.post("/v1/jobs", {"image_asset": image, "audio_asset": audio}, format="json")
        job = response.json()
        assert (response.status_code, job["stage"]) == (202, "waiting")
        assert (job["input"]["image"]["asset"], job["input"]["image"]["width"]) == (image, 256)
        for asset in (image, audio):
            assert acme_client.delete(f"/v1/assets/{asset}").status_code == 204
        assert {path.name for path in stored_files(store)} == {"reference.png", "speech-0.flac"}

    def test_an_asset_can_be_taken_by_several_jobs(
        self, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        image, audio = uploaded(acme_client, portrait), uploaded(acme_client, speech)
        body = {"image_asset": image, "audio_asset": audio}
        assert [acme_client.post("/v1/jobs", body, format="json").status_code for _ in range(2)] == [202, 202]

    @pytest.mark.parametrize("asset_id", ["ast_1", "", "x" * 300, "../../etc/passwd", "ast_" + "0" * 26])
    def test_an_id_that_never_was_is_named(
        self, acme_client: APIClient, speech: bytes, asset_id: str
    ) -> None:
        self.refused(acme_client, asset_id, uploaded(acme_client, speech))

    def test_a_strangers_asset_is_like_none(
        self, acme_client: APIClient, initech: Organization, portrait: bytes, speech: bytes
    ) -> None:
        theirs = uploaded(keyed(factories.key(initech)), portrait)
        assert self.refused(acme_client, theirs, uploaded(acme_client, speech)) == "unknown_asset"

    def test_an_asset_of_the_other_mode_is_like_none(
        self, acme: Organization, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        live = uploaded(keyed(factories.key(acme, livemode=True)), portrait)
        assert self.refused(acme_client, live, uploaded(acme_client, speech)) == "unknown_asset"

    def test_one_that_was_not_uploaded_yet_is_named(
        self, acme_client: APIClient, portrait: bytes, speech: bytes
    ) -> None:
        waiting = announce(acme_client, portrait).json()["id"]
        assert self.refused(acme_client, waiting, uploaded(acme_client, speech)) == "asset_not_uploaded"

    def test_one_that_is_no_picture_is_named(self, acme_client: APIClient, speech: bytes) -> None:
        audio = uploaded(acme_client, speech)
        assert self.refused(acme_client, audio, audio) == "image_unreadable"

    def refused(self, client: APIClient, image: str, audio: str) -> str:
        """The code with which the image was refused."""
        response = client.post("/v1/jobs", {"image_asset": image, "audio_asset": audio}, format="json")
        (error,) = response.json()["errors"]
        assert (response.status_code, error["field"]) == (422, "image_asset")
        return str(error["code"])


def test_deleting_an_asset_removes_its_file(acme_client: APIClient, portrait: bytes, store: Path) -> None:
    asset = uploaded(acme_client, portrait)
    assert acme_client.delete(f"/v1/assets/{asset}").status_code == 204
    assert acme_client.get(f"/v1/assets/{asset}").status_code == 404
    assert stored_files(store) == []


def test_assets_go_after_a_day(acme_client: APIClient, portrait: bytes, store: Path) -> None:
    asset = uploaded(acme_client, portrait)
    assert reconcile().assets == 0
    with time_machine.travel(timezone.now() + timedelta(hours=24, seconds=1)):
        assert acme_client.get(f"/v1/assets/{asset}").status_code == 404
        assert reconcile().assets == 1
    assert (stored_files(store), Asset.objects.count()) == ([], 0)


def test_with_an_object_store_the_presigned_address_fixes_type_size_and_that_nothing_is_overwritten(
    acme: Organization, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset = factories.asset(acme)
    for name, value in {
        "R2_BUCKET": "avatars",
        "R2_ACCESS_KEY_ID": "id",
        "R2_SECRET_ACCESS_KEY": "secret",
        "R2_ENDPOINT_URL": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    settings.STORAGES = settings.STORAGES | {"default": storage_backend(Env(), tmp_path)}
    upload = assets.upload_of(asset, "https://api.example")
    address = urlsplit(upload.url)
    query = parse_qs(address.query)
    assert (upload.method, address.path) == ("PUT", f"/avatars/{asset.key}")
    assert query["X-Amz-SignedHeaders"] == ["content-length;content-type;host;if-none-match"]
    assert 24 * 3600 - 60 < int(query["X-Amz-Expires"][0]) <= 24 * 3600
    assert upload.headers == {"Content-Type": "image/png", "Content-Length": "10", "If-None-Match": "*"}


def test_an_organization_has_so_many_open_assets_and_no_more(
    acme_client: APIClient, acme: Organization
) -> None:
    acme.test_plan.open_assets, acme.test_plan.open_asset_bytes = 2, 100
    acme.test_plan.save()
    asked = {"content_type": "image/png", "size_bytes": 40}
    first = acme_client.post("/v1/assets", asked, format="json")
    assert (first.status_code, acme_client.post("/v1/assets", asked, format="json").status_code) == (201, 201)
    refused = acme_client.post("/v1/assets", {**asked, "size_bytes": 1}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    acme_client.delete(f"/v1/assets/{first.json()['id']}")
    assert acme_client.post("/v1/assets", {**asked, "size_bytes": 61}, format="json").status_code == 429
    assert acme_client.post("/v1/assets", {**asked, "size_bytes": 60}, format="json").status_code == 201


def test_assets_are_listed_newest_first(acme_client: APIClient) -> None:
    first, second = (announce(acme_client, bytes(10)).json() for _ in range(2))
    put(second["upload"], bytes(10))
    page = acme_client.get("/v1/assets", {"limit": "1"}).json()
    assert page["data"] == [second | {"upload": None, "uploaded": True}]
    rest = acme_client.get("/v1/assets", {"cursor": page["next_cursor"]}).json()
    assert rest == {"data": [first | {"upload": None}], "next_cursor": None}


def test_the_list_leaves_out_what_is_gone(acme_client: APIClient) -> None:
    asset = announce(acme_client, bytes(10)).json()
    with time_machine.travel(datetime.fromisoformat(asset["expires_at"])):
        assert acme_client.get("/v1/assets").json()["data"] == []
