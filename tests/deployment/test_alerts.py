import re
import shutil
import subprocess

import pytest
import yaml

from gpu_worker.contract.error_codes import JOB_ERROR_CODES
from tests.deployment.production import REPOSITORY

RULES = REPOSITORY / "ops" / "prometheus" / "rules.yml"
RUNBOOK = REPOSITORY / "docs" / "OPERATIONS.md"


def alerts() -> list[dict]:  # type: ignore[type-arg]
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return group["rules"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_leads_to_its_section_of_the_runbook(alert: dict) -> None:  # type: ignore[type-arg]
    name = alert["alert"]

    assert alert["annotations"]["runbook"] == f"docs/OPERATIONS.md#{name.lower()}"
    assert f"\n## {name}\n" in RUNBOOK.read_text()


def test_rules_and_runbook_speak_of_metrics_that_there_are(exported: dict[str, list[str]]) -> None:
    named = set(re.findall(r"\bavatar_[a-z_]+[a-z]\b", RULES.read_text() + RUNBOOK.read_text()))

    assert named <= {series for names in exported.values() for series in names}


def test_the_runbook_names_every_metric(exported: dict[str, list[str]]) -> None:
    text = RUNBOOK.read_text()
    of_workers = {name for name in exported if name.startswith("avatar_worker_")}
    short = {name.removeprefix("avatar_worker_") for name in of_workers}

    assert "`avatar_worker_…`" in text
    assert {name for name in short if f"`{name}" not in text} == set()
    assert {name for name in exported.keys() - of_workers if f"`{name}" not in text} == set()


def test_failures_that_are_ours_alert_by_every_code_there_is() -> None:
    ours = {code for code, entry in JOB_ERROR_CODES.items() if entry.retryable} - {"download_failed"}
    named = re.findall(r'code=~"([a-z_|]+)"', RULES.read_text())

    assert [set(codes.split("|")) for codes in named] == [ours] * len(named)
    assert named


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool isn't installed")
def test_the_rules_fire_when_they_should() -> None:
    tested = subprocess.run(
        ["promtool", "test", "rules", "rules_test.yml"], cwd=RULES.parent, capture_output=True, check=False
    )

    assert tested.returncode == 0, tested.stdout
