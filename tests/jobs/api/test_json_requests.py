"""Asking for a job in JSON: files inside of the request, and bodies that are none."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import Organization
from jobs.intake.sources import MAX_DATA_URI_BYTES
from jobs.models import Job
from tests import factories
from tests.jobs.clients import form, keyed, wav

pytestmark = pytest.mark.usefixtures("redis", "store")


def data_uri(content: bytes, media_type: str = "application/octet-stream") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def post(client: APIClient, body: Any, address: str = "/v1/jobs") -> Any:
    text = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return client.generic("POST", address, text, content_type="application/json")


def problems(response: Any) -> dict[str, str]:
    """The codes of the request's faults by field."""
    assert (response.status_code, response["Content-Type"]) == (422, "application/problem+json")
    return {error["field"]: error["code"] for error in response.json()["errors"]}


@pytest.fixture
def body(portrait: bytes, speech: bytes) -> dict[str, Any]:
    """A request that is complete in itself."""
    return {"image_url": data_uri(portrait, "image/png"), "audio_url": data_uri(speech), "seed": 7}


def test_files_inside_of_the_request_make_the_same_job_as_files_of_a_form(
    acme_client: APIClient, body: dict[str, Any], portrait: bytes, speech: bytes
) -> None:
    by_json = post(acme_client, body)
    by_form = acme_client.post("/v1/jobs", form(portrait, speech, seed="7"))
    assert by_json.status_code == by_form.status_code == 202
    assert by_json.json()["input"] == by_form.json()["input"]
    assert by_json.json()["stage"] == "waiting"


def test_a_form_may_name_an_address_as_well(acme_client: APIClient, portrait: bytes, speech: bytes) -> None:
    sent = form(portrait, None, audio_url=data_uri(speech))
    assert acme_client.post("/v1/jobs", sent).status_code == 202


def test_two_speakers_and_everything_else_can_be_asked_for(
    acme_client: APIClient, body: dict[str, Any]
) -> None:
    box = {"x": 0, "y": 0, "width": 0.5, "height": 1}
    asked = {
        "audio_2_url": data_uri(wav(0.6)),
        "speaking_order": "first_then_second",
        "speaker_boxes": [box, box | {"x": 0.5}],
        "prompt": "Two people are talking.",
        "preset": "quality",
        "resolution": "480p",
        "metadata": {"order": "17"},
    }
    job = post(acme_client, body | asked).json()
    assert {name: job["input"][name] for name in ("speaking_order", "prompt", "preset")} == {
        name: asked[name] for name in ("speaking_order", "prompt", "preset")
    }
    assert Job.objects.get().num_frames == 28  # 1.1 s


class TestDataUris:
    def test_one_that_is_no_picture_is_refused_at_once(
        self, acme_client: APIClient, body: dict[str, Any], store: Path
    ) -> None:
        assert problems(post(acme_client, body | {"image_url": data_uri(b"no picture")})) == {
            "image_url": "image_unreadable"
        }
        assert not [path for path in store.rglob("*") if path.is_file()]

    @pytest.mark.parametrize(
        "uri", ["data:", "data:image/png,abc", "data:;base64,a", "data:;base64,ä€", "data:x"]
    )
    def test_one_that_is_not_base64_is_refused(
        self, acme_client: APIClient, body: dict[str, Any], uri: str
    ) -> None:
        assert problems(post(acme_client, body | {"audio_url": uri})) == {"audio_url": "invalid"}

    def test_one_above_five_megabytes_is_refused(self, acme_client: APIClient, body: dict[str, Any]) -> None:
        uri = data_uri(bytes(MAX_DATA_URI_BYTES + 1))
        assert problems(post(acme_client, body | {"audio_url": uri})) == {"audio_url": "too_large"}

    def test_one_of_five_megabytes_is_looked_into(self, acme_client: APIClient, body: dict[str, Any]) -> None:
        uri = data_uri(bytes(MAX_DATA_URI_BYTES))
        assert problems(post(acme_client, body | {"audio_url": uri})) == {"audio_url": "audio_unreadable"}


class TestWhichFileIsMeant:
    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"image_url": None}, {"image_url": "null"}),
            ({"image_asset": "ast_1"}, {"image_asset": "ambiguous"}),
            ({"video_url": "https://media.example/a"}, {"video_url": "ambiguous"}),
            (
                {"video_asset": "x", "video_url": "https://media.example/a"},
                {"video_asset": "ambiguous", "video_url": "ambiguous"},
            ),
            ({"audio_asset": "ast_1"}, {"audio_asset": "ambiguous"}),
            (
                {
                    "audio_2_url": "https://media.example/a",
                    "audio_2_asset": "x",
                    "speaking_order": "together",
                },
                {"audio_2_asset": "ambiguous"},
            ),
            ({"audio_2_asset": "x"}, {"audio_2_asset": "unknown_asset"}),
            ({"image": "portrait.png"}, {"image": "invalid", "image_url": "ambiguous"}),
        ],
    )
    def test_what_does_not_fit_together_is_named(
        self, acme_client: APIClient, body: dict[str, Any], changes: dict[str, Any], named: dict[str, str]
    ) -> None:
        assert problems(post(acme_client, body | changes)) == named

    @pytest.mark.parametrize(("missing", "named"), [("image_url", "image"), ("audio_url", "audio")])
    def test_what_is_missing_is_named(
        self, acme_client: APIClient, body: dict[str, Any], missing: str, named: str
    ) -> None:
        del body[missing]
        assert problems(post(acme_client, body)) == {named: "required"}

    @pytest.mark.parametrize(
        "url",
        [
            "http://media.example/a",
            "ftp://media.example/a",
            "media.example",
            "https://",
            "file:///etc/passwd",
        ],
    )
    def test_an_address_is_https(self, acme_client: APIClient, body: dict[str, Any], url: str) -> None:
        assert problems(post(acme_client, body | {"image_url": url})) == {"image_url": "invalid"}


class TestTypes:
    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"seed": "7"}, "seed"),
            ({"seed": 7.5}, "seed"),
            ({"seed": True}, "seed"),
            ({"seed": -1}, "seed"),
            ({"seed": 10**400}, "seed"),
            ({"prompt": 7}, "prompt"),
            ({"prompt": "a\x00b"}, "prompt"),
            ({"prompt": None}, "prompt"),
            ({"image_url": ["https://media.example"]}, "image_url"),
            ({"image_url": "https://media.example/\x00"}, "image_url"),
            ({"image_url": ""}, "image_url"),
            ({"resolution": 480}, "resolution"),
            ({"metadata": []}, "metadata"),
            ({"metadata": {"a": 1}}, "metadata"),
            ({"metadata": {"a\x00": "b"}}, "metadata"),
            ({"speaker_boxes": {}}, "speaker_boxes"),
            ({"speaker_boxes": [{"x": "0", "y": 0, "width": 1, "height": 1}]}, "speaker_boxes"),
            ({"speaker_boxes": [{"x": 1e400, "y": 0, "width": 1, "height": 1}]}, None),
            ({"colour": "red"}, "colour"),
        ],
    )
    def test_no_value_is_coerced(
        self, acme_client: APIClient, body: dict[str, Any], changes: dict[str, Any], named: str | None
    ) -> None:
        response = post(acme_client, body | changes)
        if named is None:  # Python writes Infinity, which isn't JSON.
            assert (response.status_code, response.json()["code"]) == (400, "parse_error")
        else:
            assert {field.split(".")[0] for field in problems(response)} == {named}

    @pytest.mark.parametrize("value", [[], b'"x"', 7, None, True, ["image_url"]])
    def test_the_body_is_an_object(self, acme_client: APIClient, value: Any) -> None:
        assert problems(post(acme_client, value)) == {"": "invalid"}


NO_JSON = [
    b"",
    b"{",
    b"\x00",
    b"\xff\xfe{}",
    b"{'a': 1}",
    b'{"prompt": "\xed\xa0\x80"}',
    rb'{"prompt": "\ud800"}',
    rb'{"\udfff": ""}',
    rb'{"metadata": {"a": ["\ud800"]}}',
    b'{"seed": NaN}',
    b'{"seed": -Infinity}',
    b'{"seed": ' + b"9" * 10_000 + b"}",
    b"[" * 100 + b"]" * 100,
    b"[" * 10_000 + b"]" * 10_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
]


@pytest.mark.parametrize(
    "address", ["/v1/jobs", "/v1/estimates", "/v1/assets", "/v1/webhooks", "/v1/api-keys"]
)
class TestBytesThatAreNoJson:
    def test_are_a_parse_error(self, acme_client: APIClient, address: str) -> None:
        for body in NO_JSON:
            response = post(acme_client, body, address)
            assert (response.status_code, response.json()["code"]) == (400, "parse_error"), body[:40]
            assert response["Content-Type"] == "application/problem+json"

    def test_or_a_field_that_came_twice(self, acme_client: APIClient, address: str) -> None:
        response = post(acme_client, b'{"prompt": "one", "seed": 1, "prompt": "two"}', address)
        assert problems(response) == {"prompt": "duplicate"}

    def test_or_too_much(self, acme_client: APIClient, address: str) -> None:
        response = post(acme_client, json.dumps({"prompt": "x" * 10 * 1024 * 1024}), address)
        if address in ("/v1/jobs", "/v1/estimates"):  # Where three files may stand in the body.
            assert problems(response)["prompt"] == "max_length"
        else:
            assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize(
    "body", [b'"' + b"x" * 24 * 1024 * 1024 + b'"', b"[" + b"[]," * 100_000 + b"[]]"], ids=["bytes", "values"]
)
def test_more_than_three_files_need_is_not_taken(acme_client: APIClient, body: bytes) -> None:
    response = post(acme_client, body)
    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")


def test_another_media_type_is_refused(acme_client: APIClient) -> None:
    response = acme_client.generic(
        "POST", "/v1/jobs", "a=1", content_type="application/x-www-form-urlencoded"
    )
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


def test_a_form_part_with_half_a_character_is_named(
    acme_client: APIClient, portrait: bytes, speech: bytes
) -> None:
    response = acme_client.post("/v1/jobs", form(portrait, speech, metadata=r'{"a": "\ud800"}'))
    assert problems(response) == {"metadata": "invalid"}


def test_a_viewer_of_jobs_cannot_ask_for_one(acme: Organization, body: dict[str, Any]) -> None:
    client = keyed(factories.key(acme, scopes=frozenset({"jobs:read"})))
    assert [post(client, body, address).status_code for address in ("/v1/jobs", "/v1/estimates")] == [
        403,
        403,
    ]
