"""What an endpoint that gives fewer workers than it should, or has long had nothing to do, looks like."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.models import Organization
from jobs.scheduling.autoscaling import demand
from jobs.scheduling.autoscaling.runpod import Health, Workers
from jobs.tasks import wake
from tests import factories
from tests.gpu_worker import runpod_plane
from tests.gpu_worker.runpod_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("redis", "store")

LOWERED = Health(in_queue=2, in_progress=1, workers=Workers(running=1))


@pytest.fixture
def plane(settings: Settings) -> Iterator[ControlPlane]:
    with runpod_plane.of_deployment(settings) as plane:
        yield plane


def told(client: APIClient) -> dict[str, object]:
    response = client.get("/readyz")
    assert response.status_code == 200, "web and control are ready, whatever RunPod does"
    found: dict[str, object] = response.json()["details"]["runpod"]
    return found


@pytest.mark.parametrize(
    ("health", "short"),
    [
        pytest.param(LOWERED, True, id="a maximum of one, lowered from five"),
        pytest.param(replace(LOWERED, workers=Workers(idle=5)), True, id="workers that sleep on"),
        pytest.param(replace(LOWERED, workers=Workers(throttled=3)), True, id="no GPU is free"),
        pytest.param(replace(LOWERED, workers=Workers(running=1, initializing=2)), False, id="starting"),
        pytest.param(replace(LOWERED, in_queue=0), False, id="nothing waits"),
        pytest.param(Health(9, 5, Workers(running=5)), False, id="as many as may be"),
    ],
)
def test_an_endpoint_is_short_of_workers_while_requests_wait_and_more_could_come(
    health: Health, short: bool
) -> None:
    assert demand.is_short(health, most=5) is short


def test_readiness_tells_when_requests_wait_for_workers_that_never_come(
    acme: Organization, plane: ControlPlane, client: APIClient
) -> None:
    factories.job(acme, livemode=True, engine="infinitetalk")
    wake()
    wake()
    assert told(client)["ok"] is True, "a worker may take its time"

    with time_machine.travel(timezone.now() + timedelta(minutes=5)):
        wake()
        detail = told(client)
    assert (detail["ok"], detail["in_queue"]) == (False, 1)
    assert "EndpointShort" in str(detail["error"])

    plane.take()
    wake()
    assert told(client)["ok"] is True


def test_readiness_tells_for_how_long_nobody_has_had_a_turn(
    acme: Organization, plane: ControlPlane, client: APIClient
) -> None:
    wake()
    with time_machine.travel(timezone.now() + timedelta(days=8)):
        wake()
        assert told(client)["unused_seconds"] == pytest.approx(8 * 24 * 3600, abs=60)
        plane.run("by hand")
        plane.take()
        wake()
        assert told(client)["unused_seconds"] == pytest.approx(0, abs=60)
