"""A passkey, as Chromium's virtual authenticator holds it: added, and then enough to log in."""

from typing import Any

import pytest
from pytest_django import Settings

from tests.accounts.conftest import make_person
from tests.e2e.browser import running_browser

PASSWORD = "correct horse battery staple"
pytestmark = [
    pytest.mark.django_db(transaction=True, serialized_rollback=True),
    pytest.mark.usefixtures("redis"),
]


def with_authenticator(page: Any) -> None:
    """A security key that is always touched by its owner."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def test_a_passkey_is_added_and_logs_in(live_server: Any, settings: Settings):
    settings.MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = True
    person = make_person("alice@example.com")
    with running_browser() as browser:
        page = browser.new_page()
        with_authenticator(page)
        page.goto(f"{live_server.url}/account/login/?next=/account/2fa/webauthn/add/")
        page.fill("#id_login", person.email)
        page.fill("#id_password", PASSWORD)
        page.click("button.primary")
        page.fill("#id_password", PASSWORD)
        page.click("button.primary")
        page.fill("#id_name", "Her laptop")
        page.check("#id_passwordless")
        page.click("#mfa_webauthn_add")
        page.wait_for_url("**/recovery-codes/**")
        page.click("text=Log out")
        page.wait_for_url("**/account/login/")
        page.click("#passkey_login")
        page.wait_for_url("**/playground")
        assert page.is_visible("text=alice@example.com")
