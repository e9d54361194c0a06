"""The user that the documentation gives render workers can do what they need, and little else."""

import re
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from gpu_worker.contract.coordination import read_workers
from gpu_worker.contract.spec import ReportKind
from tests.gpu_worker.playing_control import Control, WorkerProcess, wait_until

DOCUMENT = Path(__file__).parents[3] / "docs" / "DEPLOYMENT.md"


@pytest.fixture
def render_url(control: Control) -> str:
    """Redis' address with the user of the documentation, which this makes."""
    (rule,) = re.findall(r"^ *(ACL SETUSER render .*)$", DOCUMENT.read_text(), re.MULTILINE)
    control.redis.execute_command(*rule.replace(">SECRET", ">the-password").split())
    return control.redis_url.replace("unix://", "unix://render@") + "&password=the-password"


def test_a_render_worker_needs_no_more_than_its_user_may(control: Control, render_url: str) -> None:
    spec = control.send(control.spec())
    with WorkerProcess(control, redis_url=render_url) as worker:
        control.wait_for(ReportKind.SUCCEEDED)
        wait_until(lambda: read_workers(control.redis), "the worker's facts")
        assert control.redis.exists(f"lease:{spec.job_id}:{spec.attempt}", f"progress:{spec.job_id}") == 2
    assert "NoPermission" not in worker.log


@pytest.mark.parametrize(
    "command",
    [
        "GET webhook:secret",
        "KEYS *",
        "FLUSHALL",
        "CONFIG GET *",
        "ACL LIST",
        "SHUTDOWN",
        "SET repair:watching 1",
    ],
)
def test_the_user_may_not_do_what_control_does(control: Control, render_url: str, command: str) -> None:
    with Redis.from_url(render_url) as redis, pytest.raises(NoPermissionError):
        redis.execute_command(*command.split())
