"""The console in a real browser: what a person does there reaches the API."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.browser import running_browser
from tests.e2e.conftest import Live


@pytest.fixture
def page(live: Live) -> Iterator[Any]:
    """The console of somebody who has logged in."""
    account = json.loads((live.state / "demo.json").read_text())
    with running_browser() as browser:
        page = browser.new_context().new_page()
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(f"{live.url}/console")
        page.get_by_label("Email").fill(account["email"])
        page.get_by_label("Password").fill(account["password"])
        page.get_by_role("button", name="Log in", exact=True).click()
        page.wait_for_url(f"{live.url}/console")
        yield page


def test_a_key_is_made_shown_once_and_revoked(page: Any, live: Live) -> None:
    page.get_by_role("link", name="API keys").click()
    page.get_by_label("Name").fill("shop")
    page.get_by_label("Addresses that may use it").fill("nonsense")
    page.get_by_role("button", name="Create key").click()
    page.locator("[data-field=allowed_ips] .error").wait_for()
    page.get_by_label("Addresses that may use it").fill("")
    page.get_by_role("button", name="Create key").click()
    page.get_by_text("Copy the key now").wait_for()
    key = page.locator("#key").inner_text()
    used = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{live.url}/v1/me", headers=used).json()["key"]["name"] == "shop"
    page.reload()
    row = page.get_by_role("row", name="shop").first
    assert key not in page.content()
    row.get_by_role("button", name="Revoke").click()
    row.get_by_text("revoked").wait_for()
    assert httpx.get(f"{live.url}/v1/me", headers=used).json()["code"] == "api_key_revoked"
    page.get_by_role("link", name="Usage").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    assert download.value.suggested_filename.startswith("usage-")


def test_a_webhook_is_made_tested_rotated_and_deleted(page: Any, live: Live) -> None:
    page.get_by_role("link", name="Webhooks").click()
    page.get_by_label("Address").fill("nonsense")
    page.get_by_role("button", name="Create webhook").click()
    page.locator("[data-field=url] .error").wait_for()
    page.get_by_label("Address").fill("https://receiver.example/tested")
    page.get_by_role("button", name="Create webhook").click()
    page.get_by_text("Copy the secret now").wait_for()
    secret = page.locator("#secret").inner_text()
    page.reload()
    row = page.get_by_role("row", name="receiver.example/tested")
    row.wait_for()
    assert secret not in page.content()
    row.get_by_role("button", name="Send test").click()
    message = page.locator("#messages li").first
    message.locator("summary").click()
    assert json.loads(message.get_by_label("Body").inner_text())["type"] == "webhook.test"
    message.get_by_role("button", name="Redeliver").click()
    row.get_by_role("button", name="Rotate secret").click()
    page.get_by_text("Copy the secret now").wait_for()
    assert page.locator("#secret").inner_text() != secret
    row.get_by_role("button", name="Disable").click()
    row.get_by_text("Disabled manually.").wait_for()
    row.get_by_role("button", name="Delete").click()
    row.wait_for(state="detached")
