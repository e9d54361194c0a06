"""What a worker tells of itself for the metrics."""

import json
import os
import signal
from dataclasses import asdict

import pytest

from avatar_api.embedded.valkey import Valkey
from gpu_worker import tasks
from gpu_worker.contract import coordination
from gpu_worker.contract.coordination import WORKER_SECONDS, WorkerFacts, read_workers, write_worker
from gpu_worker.contract.spec import ReportKind
from gpu_worker.rendering import attempt
from gpu_worker.runtime import heartbeat
from gpu_worker.runtime.context import WorkerContext
from gpu_worker.storage.retry import RetryPolicy
from tests.gpu_worker.playing_control import Control, WorkerProcess, wait_until
from tests.gpu_worker.storage.test_storage_errors import FailingStorage


def test_a_worker_shows_itself_from_its_start_to_its_end(control: Control) -> None:
    with WorkerProcess(control) as worker:
        (told,) = wait_until(lambda: read_workers(control.redis), "the worker's facts")
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0

    assert told.name.startswith("render-cpu-")
    assert (told.engine, told.device) == ("painted", "test")
    assert (told.load_seconds, told.loaded_bytes) == (2.0, 10**9)
    assert 0 < told.cold_start_seconds < 60
    assert told.vram_used_bytes is told.vram_total_bytes is told.vram_peak_bytes is told.utilisation is None
    assert read_workers(control.redis) == []


def test_it_counts_seconds_of_rendering_and_tries_that_the_store_failed(
    worker: WorkerContext, control: Control
) -> None:
    worker.storage = FailingStorage(str(control.folder / "store"), range(3, 5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempt, "RETRIES", RetryPolicy(tries=8, first_pause=0.01))
        tasks.render(control.spec().to_dict())
    control.wait_for(ReportKind.SUCCEEDED)

    told = heartbeat.collect(worker, 1.0)
    assert told.storage_errors == 2
    assert told.render_seconds > 0


def test_a_worker_that_is_killed_is_forgotten_within_a_minute(
    worker: WorkerContext, control: Control
) -> None:
    with heartbeat.sending(worker, os.getpid()):
        (told,) = read_workers(control.redis)
        assert 0 < control.redis.ttl(f"worker:{told.name}") <= WORKER_SECONDS
        control.redis.delete(f"worker:{told.name}")  # As Redis does then.
        assert read_workers(control.redis) == []
        assert control.redis.smembers("workers") == set()


def test_a_worker_that_starts_while_redis_is_away_is_seen_afterwards(
    worker: WorkerContext, control: Control, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordination, "HEARTBEAT_SECONDS", 0.01)
    valkey.__exit__()
    with heartbeat.sending(worker, os.getpid()), valkey:
        wait_until(lambda: read_workers(control.redis), "the worker's facts")


KNOWN = WorkerFacts("known", "preview", "cpu", 0, 0, 1, None, None, None, None, 0, 0)


@pytest.mark.parametrize(
    "told",
    [
        json.dumps({**asdict(KNOWN), "name": "somebody else"}),
        json.dumps({**asdict(KNOWN), "name": "strange", "storage_errors": True}),
        json.dumps({"name": "known"}),
        json.dumps({**asdict(KNOWN), "load_seconds": "long"}),
        json.dumps([1]),
        "no JSON",
        b"\xff",
    ],
)
def test_facts_that_do_not_fit_are_left_out(control: Control, told: str | bytes) -> None:
    write_worker(control.redis, KNOWN)
    control.redis.sadd("workers", "strange")
    control.redis.set("worker:strange", told)
    assert read_workers(control.redis) == [KNOWN]


def test_a_worker_that_doesn_t_say_reads_specs_of_version_1(control: Control) -> None:
    told = asdict(KNOWN)
    del told["spec_version"]
    write_worker(control.redis, KNOWN)
    control.redis.set("worker:known", json.dumps(told))
    (worker,) = read_workers(control.redis)
    assert worker.spec_version == 1


def test_facts_of_a_newer_release_are_read_as_far_as_they_are_known(control: Control) -> None:
    control.redis.sadd("workers", "known")
    control.redis.set("worker:known", json.dumps({**asdict(KNOWN), "unheard": "of"}))
    assert read_workers(control.redis) == [KNOWN]
