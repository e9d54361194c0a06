"""The pages for people: they work without any other host, and every code of an error is explained."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from gpu_worker.contract.error_codes import ERROR_CODES

PAGES = ["/docs", "/docs/redoc", "/docs/errors"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_names_no_foreign_host_and_lets_browsers_ask_none(client: Client, path: str):
    response = client.get(path)
    assert response.status_code == 200
    assert re.findall(r"(?:https?:)?//[a-z]", response.content.decode()) == []
    sources = response["Content-Security-Policy"]
    assert "default-src 'self'" in sources
    assert "http" not in sources


@pytest.mark.parametrize("path", PAGES)
def test_what_a_page_loads_is_there(client: Client, path: str):
    loaded = re.findall(r'(?:src|href)="/static/([^"]+)"', client.get(path).content.decode())
    assert loaded
    assert [name for name in loaded if finders.find(name) is None] == []


def test_every_code_stands_on_the_page_that_problems_point_to(client: Client):
    shown = re.findall(r'<tr id="(\w+)">', client.get("/docs/errors").content.decode())
    assert sorted(shown) == sorted(ERROR_CODES)


def test_a_problem_points_to_its_code_on_that_page(client: Client):
    told = client.get("/v1/nothing").json()
    page, code = told["type"].split("#")
    assert f'<tr id="{code}">' in client.get(page).content.decode()
