import re
import shutil
import subprocess

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from pytest_django import Settings

from avatar_api.common import observation  # noqa: F401  (registers the metrics of a web process)
from jobs.metrics.page import of_deployment
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


SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_sum", "_count"),
    "summary": ("", "_sum", "_count"),
}


def names_of(metric: Metric) -> list[str]:
    return [f"{metric.name}{suffix}" for suffix in SUFFIXES[metric.type]]


@pytest.mark.django_db
@pytest.mark.usefixtures("redis")
def test_rules_and_runbook_speak_of_metrics_that_there_are(settings: Settings) -> None:
    settings.RUNPOD_ENDPOINT_ID = "endpoint-1"
    metrics = [*REGISTRY.collect(), *of_deployment().collect()]
    offered = {name for metric in metrics for name in names_of(metric)}
    named = set(re.findall(r"\bavatar_[a-z_]+[a-z]\b", RULES.read_text() + RUNBOOK.read_text()))

    assert named <= offered


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool isn't installed")
def test_the_rules_fire_when_they_should() -> None:
    tested = subprocess.run(
        ["promtool", "test", "rules", "rules_test.yml"], cwd=RULES.parent, capture_output=True, check=False
    )

    assert tested.returncode == 0, tested.stdout
