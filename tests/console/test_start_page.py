"""`/`: a page for people, and what it always was for programs."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

pytestmark = pytest.mark.django_db
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_a_browser_sees_the_sample_and_three_doors(client: Client):
    page = client.get("/", headers=BROWSER).content.decode()
    assert re.search(r'<video src="/static/console/media/sample\.mp4"', page)
    for door in ("Try it out", "Build with it", "Log in"):
        assert door in page


@pytest.mark.parametrize("accept", ["*/*", "application/json"])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_for_a_program_there_is_nothing_at_the_root(client: Client, method: str, accept: str):
    answer = getattr(Client(enforce_csrf_checks=True), method)("/", headers={"Accept": accept})
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


def test_a_key_gets_a_problem_whatever_it_accepts(client: Client):
    answer = client.get("/", headers=BROWSER | {"Authorization": "Bearer nonsense"})
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


def test_the_page_runs_nothing_inline_and_asks_no_other_host(client: Client):
    answer = client.get("/", headers=BROWSER)
    policy, page = answer["Content-Security-Policy"], answer.content.decode()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"<script>|<style|\sstyle=|\son\w+=", page)
    assert not re.findall(r"(?:https?:)?//[a-z]", page)
    loaded = re.findall(r'(?:src|href|poster)="/static/([^"]+)"', page)
    assert loaded
    assert [name for name in loaded if finders.find(name) is None] == []
