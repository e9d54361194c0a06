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

from avatar_api.common.problems import CODES

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
MAKE = "python manage.py spectacular --file docs/openapi.yaml"


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
        assert told["security"] == [{"bearer": []}, {"apiKey": []}]


def test_every_operation_tells_its_problems_in_the_one_form(document: dict[str, Any]):
    for operation_id, told in operations(document):
        refusals = {status for status in told["responses"] if status >= "400"}
        assert refusals >= {"401", "403", "406", "429", "500", "503"}, operation_id
    for response in document["components"]["responses"].values():
        content = response["content"]["application/problem+json"]
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_every_code_has_an_example(document: dict[str, Any]):
    shown = {name: told["value"]["status"] for name, told in document["components"]["examples"].items()}
    assert shown.items() >= {code: told.status for code, told in CODES.items()}.items()
