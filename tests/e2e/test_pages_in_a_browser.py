"""The pages for people in a real browser: no barrier that axe finds, no error of a script, no dead end."""

import hashlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.browser import running_browser
from tests.e2e.conftest import Live
from tests.gpu_worker.preview_jobs import PORTRAIT

AXE = "axe-core@4.14.1"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
EXAMPLES = Path(__file__).parents[2] / "jobs/api/openapi/files"
# Where Swagger UI and ReDoc draw, which are shipped as they are.
NOT_OURS = ["#swagger-ui", "redoc"]
VIOLATIONS = """async (excluded) => {
    const context = { exclude: excluded.filter((each) => document.querySelector(each)) };
    const { violations } = await axe.run(context, { resultTypes: ["violations"] });
    return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
        .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}"""
OPEN = [
    "/",
    "/playground",
    "/docs",
    "/docs/redoc",
    "/docs/errors",
    "/no-such-page",
    "/account/login/",
    "/account/password/reset/",
]
FOR_OPERATORS = [
    "/admin/",
    "/admin/jobs/job/",
    "/admin/jobs/job/{job}/change/",
    "/admin/jobs/webhookendpoint/",
    "/admin/accounts/apikey/",
    "/admin/accounts/apikey/add/",
    "/admin/accounts/organization/",
    "/admin/accounts/organization/add/",
    "/admin/accounts/plan/free/change/",
    "/admin/accounts/user/add/",
    "/admin/auditlog/logentry/",
    "/admin/django_rq/dashboard/",
    "/admin/django_rq/dashboard/queues/0/",
    "/console",
    "/console/videos",
    "/console/videos/{job}",
    "/console/keys",
    "/console/webhooks",
    "/console/usage",
    "/v1/jobs",
    "/v1/jobs/{job}",
    "/v1/webhooks",
    "/v1/me",
    "/console/members",
    "/account/2fa/",
    "/account/email/",
    "/account/sessions/",
    "/account/reauthenticate/",
]


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, from npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm isn't installed, which axe-core comes from")
    folder = tmp_path_factory.mktemp("axe")
    packed = subprocess.run(
        [npm, "pack", AXE], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    if packed.returncode:
        pytest.skip(f"npm can't fetch {AXE}: {packed.stderr.strip().splitlines()[-1:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        file = archive.extractfile("package/axe.min.js")
        assert file
        source = file.read()
    assert hashlib.sha256(source).hexdigest() == AXE_SHA256
    return source.decode()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def job(live: Live) -> str:
    """The id of a job that has failed."""
    answer = httpx.post(
        f"{live.url}/v1/jobs",
        headers=live.headers | {"Prefer": "wait=60"},
        files={"image": PORTRAIT.read_bytes(), "audio": (EXAMPLES / "speech.ogg").read_bytes()},
        data={"metadata[simulate]": "out_of_memory"},
        timeout=90,
    )
    job_id: str = answer.raise_for_status().json()["id"]
    return job_id


@pytest.fixture(scope="module")
def operator(browser: Any, live: Live) -> Any:
    """A page of somebody who is signed in to the admin."""
    account = json.loads((live.state / "demo.json").read_text())
    page = browser.new_context(bypass_csp=True).new_page()
    page.goto(f"{live.url}/admin/login/")
    page.fill("#id_login", account["email"])
    page.fill("#id_password", account["password"])
    page.click("button.primary")
    page.wait_for_url(f"{live.url}/admin/")
    return page


def faults(page: Any, url: str, axe: str) -> list[str]:
    """What is wrong with a page: serious findings of axe, and errors of its scripts."""
    errors: list[str] = []
    page.once("pageerror", lambda error: errors.append(f"script: {error}"))
    page.goto(url, wait_until="networkidle")
    page.evaluate(f"{axe}; undefined")
    return errors + page.evaluate(VIOLATIONS, NOT_OURS)


def test_pages_that_anybody_may_open_have_no_barriers(browser: Any, live: Live, axe: str) -> None:
    page = browser.new_context(bypass_csp=True).new_page()
    assert {path: found for path in OPEN if (found := faults(page, live.url + path, axe))} == {}


def test_admin_and_browsable_api_have_no_barriers(operator: Any, live: Live, axe: str, job: str) -> None:
    paths = [path.format(job=job) for path in FOR_OPERATORS]
    assert {path: found for path in paths if (found := faults(operator, live.url + path, axe))} == {}


@pytest.mark.parametrize("body", ["application/json", "multipart/form-data"])
def test_what_swagger_fills_in_succeeds_as_it_stands(browser: Any, live: Live, body: str) -> None:
    page = browser.new_page()
    page.goto(f"{live.url}/docs")
    page.click("button.authorize")
    page.fill("input[aria-label='auth-bearer-value']", live.key)
    page.click(".auth-container:has-text('bearer') button.modal-btn.authorize")
    page.click(".close-modal")
    operation = page.locator("#operations-Jobs-create_job")
    operation.locator("button.opblock-summary-control").click()
    operation.locator("button.try-out__btn").click()
    operation.locator(".opblock-section-request-body select").first.select_option(body)
    if body == "multipart/form-data":
        assert operation.locator("tr[data-property-name=audio] .required").count() > 0
        for name, file in (("image", PORTRAIT), ("audio", EXAMPLES / "speech.ogg")):
            operation.locator(f"tr[data-property-name={name}] input[type=file]").set_input_files(file)
    with page.expect_response("**/v1/jobs*") as answer:
        operation.locator("button.execute").click()
    assert answer.value.status == 202, answer.value.text()
    page.close()
