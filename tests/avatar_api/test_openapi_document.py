"""The OpenAPI document: committed, complete, and without loose ends."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from jsonschema import Draft202012Validator
from rest_framework.exceptions import ValidationError

from avatar_api.common.problems import CODES, Problem
from gpu_worker.contract.error_codes import JOB_ERROR_CODES
from jobs.intake.requests import JobRequestSerializer

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
MAKE = "python manage.py spectacular --file docs/openapi.yaml"
# What needs no key: files by signed addresses, and health.
PUBLIC = {"get_file", "put_file", "get_health", "get_readiness"}
ASSET = "ast_" + "0" * 26
BOX = {"x": 0, "y": 0, "width": 0.5, "height": 1}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return yaml.safe_load(COMMITTED.read_text())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for methods in document["paths"].values():
        for described in methods.values():
            yield described["operationId"], described


def test_the_committed_document_is_what_the_code_says(tmp_path: Path):
    now = tmp_path / "openapi.yaml"
    call_command("spectacular", file=str(now), validate=True, fail_on_warn=True)
    assert now.read_text() == COMMITTED.read_text(), f"run: {MAKE}"


def test_the_document_is_served_as_it_is_committed(client: Client, document: dict[str, Any]):
    assert client.get("/v1/openapi.json").json() == document


def test_every_reference_leads_somewhere(document: dict[str, Any]):
    named = set(re.findall(r'"#/components/(\w+/[^"]+)"', json.dumps(document)))
    there = {f"{kind}/{name}" for kind, parts in document["components"].items() for name in parts}
    assert named - there == set()


def test_every_operation_has_an_id_of_its_own_a_tag_a_summary_and_a_key(document: dict[str, Any]):
    described = list(operations(document))
    assert len({operation_id for operation_id, _ in described}) == len(described)
    tags = {tag["name"] for tag in document["tags"]}
    for _, told in described:
        assert set(told["tags"]) <= tags
        assert told["summary"]
        if told["tags"] == ["Members"]:
            assert told["security"] == [{"session": []}]
        elif told["operationId"] not in PUBLIC:
            assert told["security"] == [{"bearer": []}, {"apiKey": []}]


def test_every_operation_with_a_key_tells_its_problems_in_the_one_form(document: dict[str, Any]):
    for operation_id, told in operations(document):
        refusals = {status for status in told["responses"] if status >= "400"}
        if operation_id not in PUBLIC:
            assert refusals >= {"401", "403", "406", "429", "500", "503"}, operation_id
    for response in document["components"]["responses"].values():
        content = response["content"]["application/problem+json"]
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_every_code_has_an_example(document: dict[str, Any]):
    shown = {name: told["value"]["status"] for name, told in document["components"]["examples"].items()}
    assert shown.items() >= {code: told.status for code, told in CODES.items()}.items()


def bodies(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every body of JSON that the document describes: of requests, answers and messages."""
    described = [
        *operations(document),
        *((name, told["post"]) for name, told in document["webhooks"].items()),
    ]
    for name, told in described:
        for place in (told.get("requestBody", {}), *told["responses"].values()):
            content = place.get("content", {})
            if "application/json" in content:
                yield name, content["application/json"]


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({"components": document["components"], **schema})


def test_every_body_has_an_example_that_fits_its_schema(document: dict[str, Any]):
    for name, body in bodies(document):
        examples = [told["value"] for told in body.get("examples", {}).values()]
        examples += [body["example"]] if "example" in body else []
        assert examples, name
        for example in examples:
            errors = validator(document, body["schema"]).iter_errors(example)
            assert [f"{name}: {error.json_path} {error.message}" for error in errors] == []


@pytest.mark.parametrize(
    "fields",
    [
        {"image_asset": ASSET, "audio_asset": ASSET},
        {"video_asset": ASSET, "audio_asset": ASSET},
        {"audio_asset": ASSET},
        {"image_asset": ASSET},
        {"image_asset": ASSET, "video_asset": ASSET, "audio_asset": ASSET},
        {"image_asset": ASSET, "audio_asset": ASSET, "audio_url": "https://files.example.com/speech.wav"},
        {"image_asset": ASSET, "audio_asset": ASSET, "audio_2_asset": ASSET},
        {"image_asset": ASSET, "audio_asset": ASSET, "speaking_order": "together"},
        {"image_asset": ASSET, "audio_asset": ASSET, "audio_2_asset": ASSET, "speaking_order": "together"},
        {"image_asset": ASSET, "text": "Hello."},
        {"image_asset": ASSET, "text": "Hello.", "audio_asset": ASSET},
        {"image_asset": ASSET, "text": "Hello.", "voice": "espeak-en-us-male"},
        {"image_asset": ASSET, "audio_asset": ASSET, "voice": "espeak-en-us-male"},
        {"image_asset": ASSET, "text": "Hello.", "text_2": "Hello.", "speaking_order": "together"},
        {
            "image_asset": ASSET,
            "script": [{"speaker": 1, "text": "Hello."}, {"speaker": 2, "text": "Hello."}],
        },
        {"image_asset": ASSET, "script": [{"speaker": 1, "text": "Hello."}], "text": "Hello."},
        {
            "image_asset": ASSET,
            "audio_asset": ASSET,
            "speaker_boxes": [{"x": 0, "y": 0, "width": 1, "height": 1}],
        },
        {
            "image_asset": ASSET,
            "audio_asset": ASSET,
            "speaker_boxes": 2 * [{"x": 0, "y": 0, "width": 0.5, "height": 1}],
        },
    ],
)
def test_the_document_knows_which_fields_of_a_job_belong_together(
    document: dict[str, Any], fields: dict[str, Any]
):
    schema = document["components"]["schemas"]["JobRequest"]
    assert validator(document, schema).is_valid(fields) == is_taken(fields)


def is_taken(fields: dict[str, Any]) -> bool:
    try:
        return JobRequestSerializer(data=fields).is_valid(raise_exception=True)
    except (Problem, ValidationError):
        return False


def test_no_operation_names_a_parameter_twice(document: dict[str, Any]):
    shared = document["components"]["parameters"]
    for operation_id, told in operations(document):
        resolved = [
            shared[item["$ref"].split("/")[-1]] if "$ref" in item else item for item in told["parameters"]
        ]
        names = [(item["in"], item["name"]) for item in resolved]
        assert len(set(names)) == len(names), operation_id


def test_every_media_type_is_one_that_generators_read(document: dict[str, Any]):
    for operation_id, told in operations(document):
        for place in (told.get("requestBody", {}), *told["responses"].values()):
            assert not any("*" in media_type for media_type in place.get("content", {})), operation_id


def test_every_code_of_a_failed_job_is_told(document: dict[str, Any]):
    assert set(document["components"]["schemas"]["JobErrorCode"]["enum"]) == set(JOB_ERROR_CODES)


def test_generated_clients_get_names_as_a_person_would_give_them(document: dict[str, Any]):
    names = set(document["components"]["schemas"])
    assert [name for name in names if name.startswith("Patched") or name.endswith("RequestRequest")] == []
    assert {"JobRequest", "WebhookChange", "CurrentKey", "PlanBalance"} <= names
    assert document["servers"][0]["url"] == "/"


def test_each_answer_says_by_its_object_what_it_is(document: dict[str, Any]):
    """Of a job and an estimate, which one operation answers with, as well."""
    schemas = document["components"]["schemas"]
    objects = {
        name: schema["properties"]["object"]
        for name, schema in schemas.items()
        if "object" in schema.get("properties", {})
    }
    assert [name for name, value in objects.items() if "const" not in value] == []
    assert (objects["Job"]["const"], objects["Estimate"]["const"]) == ("job", "estimate")


def test_what_a_job_was_made_from_and_what_made_it_is_typed(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    for name in ("Job", "Estimate"):
        assert "#/components/schemas/JobInput" in json.dumps(schemas[name]["properties"]["input"])
    assert "#/components/schemas/JobReceipt" in json.dumps(schemas["Job"]["properties"]["receipt"])
