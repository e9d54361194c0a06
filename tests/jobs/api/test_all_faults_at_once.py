"""One answer names everything that is wrong with a request, in the words of the API."""

import re
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import Organization
from tests.jobs.clients import form, png, wav

pytestmark = pytest.mark.usefixtures("redis", "store")

# Words of Python that its frameworks put into messages.
OF_PYTHON = re.compile(
    r"\b(str|int|float|dict|dictionary|list|bool|NoneType|None|tuple|set|True|False)\b|Error\b|<"
)


def faults(response: Any, code: str = "validation_error") -> dict[str, str]:
    body = response.json()
    assert body["code"] == code
    return {error["field"]: error["code"] for error in body["errors"]}


def test_fields_at_fault_unknown_and_missing_are_named_together(acme_client: APIClient) -> None:
    sent = {
        "seed": -1,
        "preset": "slow",
        "colour": "red",
        "video_asset": "a",
        "image_asset": "a",
        "speaking_order": "together",
        "metadata": {"simulate": "an_earthquake"},
    }
    assert faults(acme_client.post("/v1/jobs", sent, format="json")) == {
        "seed": "min_value",
        "preset": "invalid_choice",
        "colour": "unknown",
        "video_asset": "ambiguous",
        "audio": "required",
        "speaking_order": "second_speaker_required",
        "metadata.simulate": "invalid",
    }


@pytest.mark.parametrize("unknown", ["4k", "", 480])
def test_an_unknown_choice_lists_the_choices(acme_client: APIClient, unknown: object) -> None:
    sent = {"resolution": unknown, "image_asset": "a", "audio_asset": "b"}
    (error,) = acme_client.post("/v1/jobs", sent, format="json").json()["errors"]
    assert error == {
        "field": "resolution",
        "code": "invalid_choice",
        "detail": "Must be one of 480p, 720p.",
    }


def test_parts_of_a_form_that_cannot_be_read_are_named_with_the_rest(acme_client: APIClient) -> None:
    sent = form(png(256, 320), None, metadata="{", speaker_boxes="[", seed=["1", "2"], preset="slow")
    assert faults(acme_client.post("/v1/jobs", sent)) == {
        "metadata": "invalid",
        "speaker_boxes": "invalid",
        "seed": "duplicate",
        "preset": "invalid_choice",
        "audio": "required",
    }


def test_all_files_are_judged(acme_client: APIClient) -> None:
    assert faults(acme_client.post("/v1/jobs", form(b"no image", b"no speech"))) == {
        "image": "image_unreadable",
        "audio": "audio_unreadable",
    }


@pytest.mark.parametrize(
    ("address", "query", "named"),
    [
        ("/v1/jobs", "status=done&created_after=noon&limit=0&cursor=x", "status created_after limit cursor"),
        ("/v1/usage", "from=x&to=y&group_by=z&colour=red", "from to group_by colour"),
        ("/v1/webhooks", "limit=0&cursor=x", "limit cursor"),
    ],
)
def test_all_parameters_are_judged(acme_client: APIClient, address: str, query: str, named: str) -> None:
    assert faults(acme_client.get(f"{address}?{query}")).keys() == set(named.split())


def test_two_speakers_have_two_boxes_or_none(acme_client: APIClient) -> None:
    box = {"x": 0, "y": 0, "width": 0.5, "height": 1}
    sent = {"image_asset": "a", "audio_asset": "a", "audio_2_asset": "a", "speaker_boxes": [box]}
    answer = acme_client.post("/v1/jobs", sent, format="json")
    assert faults(answer) == {"speaker_boxes": "second_box_required"}


def test_a_second_speaker_speaks_together_with_the_first_by_default(acme_client: APIClient) -> None:
    sent = form(png(256, 320), wav(0.5)) | {"audio_2": form(None, wav(0.6))["audio"]}
    answer = acme_client.post("/v1/estimates", sent)
    assert (answer.status_code, answer.json()["input"]["speaking_order"]) == (200, "together")


@pytest.mark.parametrize(
    ("address", "fields"),
    [
        (
            "/v1/jobs",
            "image_url audio_asset speaker_boxes speaking_order prompt seed preset metadata webhook_url",
        ),
        ("/v1/assets", "content_type size_bytes filename"),
        ("/v1/webhooks", "url event_types description"),
        ("/v1/api-keys", "name scopes expires_at allowed_ips"),
    ],
)
@pytest.mark.parametrize("value", [None, True, 7.5, "text", [], [7], {}, {"a": 7}], ids=str)
def test_no_message_speaks_of_python(acme_client: APIClient, address: str, fields: str, value: Any) -> None:
    answers = [
        acme_client.post(address, body, format="json")
        for body in (dict.fromkeys(fields.split(), value), [value])
    ]
    for answer in answers:
        assert answer.status_code == 422
        for error in answer.json()["errors"]:
            assert not OF_PYTHON.search(error["detail"]), error


class TestGarbage:
    @pytest.mark.parametrize("body", [b"", b"garbage", b"--x\r\ngarbage", b"--y--\r\n", b"\x00" * 9000])
    def test_what_is_no_form_cannot_be_parsed(self, acme_client: APIClient, body: bytes) -> None:
        answer = acme_client.generic("POST", "/v1/jobs", body, content_type="multipart/form-data; boundary=x")
        assert (answer.status_code, answer.json()["code"]) == (400, "parse_error")

    def test_a_form_without_parts_lacks_its_fields(self, acme_client: APIClient) -> None:
        content_type = "multipart/form-data; boundary=x"
        answer = acme_client.generic("POST", "/v1/jobs", b"--x--\r\n", content_type=content_type)
        assert faults(answer) == {"image": "required", "audio": "required"}


class TestDefaults:
    @pytest.mark.parametrize(
        ("resolutions", "presets", "chosen"),
        [
            (["480p"], ["quality", "balanced"], ("480p", "balanced")),
            (["480p", "720p"], ["fast", "quality"], ("720p", "fast")),
        ],
    )
    def test_what_is_left_out_is_the_best_that_the_plan_offers(
        self,
        acme: Organization,
        acme_client: APIClient,
        resolutions: list[str],
        presets: list[str],
        chosen: tuple[str, str],
    ) -> None:
        acme.test_plan.resolutions, acme.test_plan.presets = resolutions, presets
        acme.test_plan.save()
        job = acme_client.post("/v1/jobs", form(png(256, 320), wav(0.5))).json()
        assert (job["input"]["resolution"], job["input"]["preset"]) == chosen
