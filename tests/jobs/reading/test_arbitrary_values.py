"""Every reader of what workers, Redis or the store hold: a checked value, or none, and never an exception."""

import json
import math
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from gpu_worker.contract import coordination, heartbeats
from gpu_worker.contract.coordination import Progress, WorkerFacts
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.heartbeats import Heartbeat, Process
from gpu_worker.contract.lanes import lane_of
from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.queues import render_queue, report_queue
from gpu_worker.contract.reading import UnreadableError
from gpu_worker.contract.result import RenderResult
from gpu_worker.contract.spec import RenderReport, ReportKind, SpecError
from jobs import counters, queues
from jobs.scheduling import window_times
from jobs.scheduling.autoscaling import status
from jobs.scheduling.autoscaling.runpod import Health, Workers
from jobs.scheduling.autoscaling.status import EndpointStatus
from jobs.scheduling.workers import read_workers
from tests.jobs.odd_values import contents, near, some, values, written
from tests.jobs.reports import VIDEO

PROGRESS = asdict(Progress(1, "sampling", 0, 4, 3, 8, 0.1))
FACTS = asdict(WorkerFacts("odd", "preview", "cpu", 0, 0, 1, None, None, None, None, 0, 0))
HEARTBEAT = asdict(Heartbeat("odd", "preview", True, (("job_1", 1),), True, 1.0, Process("m", "1", 1, 1)))
REPORT = RenderReport("job_1", 1, "token", ReportKind.SUCCEEDED, 4, 1.0, video=VIDEO, receipt={}).to_dict()
RESULT = {"video": asdict(VIDEO), "receipt": {"engine": "preview"}, "gpu_seconds": 3.0}
ENDPOINT = asdict(EndpointStatus(1.0, Health(0, 0, Workers())))
KIND = b"preview:fast:480p"


def is_storable(value: object) -> bool:
    """Whether a column of the database takes it."""
    return (
        b"\\u0000" not in written(value)
        and json.dumps(value, ensure_ascii=False, allow_nan=False).encode() != b""
    )


@some
@given(contents(PROGRESS))
def test_progress(redis: Redis, content: bytes) -> None:
    redis.set("progress:job_1", content)
    for progress in coordination.read_progress(redis, ["job_1"]).values():
        assert 0 <= progress.fraction <= 1
        assert progress.window <= progress.windows


@some
@given(
    st.dictionaries(
        st.sampled_from([b"attempt", b"stop"]), st.binary(max_size=20) | st.just(b"1"), min_size=1
    )
)
def test_control(redis: Redis, content: dict[bytes, bytes]) -> None:
    redis.delete("job:job_1")
    redis.hset("job:job_1", mapping=content)  # type: ignore[arg-type]
    coordination.read_control(redis, "job_1")


@some
@given(st.binary(max_size=40), st.none() | st.integers(1, 10**9))
def test_leases(redis: Redis, worker: bytes, seconds: int | None) -> None:
    redis.set("lease:job_1:1", worker, ex=seconds)
    (lease,) = coordination.read_leases(redis, [("job_1", 1)])
    assert lease is None or 0 <= lease.silent_seconds <= coordination.LEASE_SECONDS


def test_a_lease_of_another_type_is_none(redis: Redis) -> None:
    redis.sadd("lease:job_1:1", "worker")
    assert coordination.read_leases(redis, [("job_1", 1)]) == [None]


@some
@given(contents(FACTS), st.binary(min_size=1, max_size=20))
def test_facts_of_workers(redis: Redis, content: bytes, name: bytes) -> None:
    redis.sadd("workers", "odd", name)
    redis.set("worker:odd", content)
    for facts in coordination.read_workers(redis):
        assert math.isfinite(facts.render_seconds)


@some
@given(contents(HEARTBEAT), st.binary(min_size=1, max_size=20))
def test_heartbeats(redis: Redis, content: bytes, name: bytes) -> None:
    redis.sadd("workers", "odd", name)
    redis.set("worker:heartbeat:odd", content, ex=60)
    redis.sadd("rq:workers:render-cpu", name)
    assert set(heartbeats.read_all(redis)) <= {"odd"}
    assert read_workers(EngineName.PREVIEW, redis).number >= 0


@some
@given(st.one_of(values, near(REPORT)))
def test_reports(data: object) -> None:
    try:
        report = RenderReport.from_dict(data)
    except SpecError:
        return
    assert report.windows_done >= 0
    assert is_storable(report.to_dict())


@some
@given(contents(RESULT))
def test_results(content: bytes) -> None:
    try:
        result = RenderResult.from_json(content)
    except UnreadableError:
        return
    assert result.gpu_seconds >= 0
    assert is_storable(asdict(result))


@some
@given(st.dictionaries(st.binary(max_size=20) | st.just(KIND), st.binary(max_size=20) | st.just(b"1e999")))
def test_times_of_windows(found: dict[bytes, bytes]) -> None:
    for kind, seconds in window_times.parse(found).items():
        assert len(kind) == 3
        assert 0 < seconds < math.inf


@some
@given(contents(ENDPOINT))
def test_the_endpoints_status(redis: Redis, content: bytes) -> None:
    redis.set(status.KEY, content)
    found = status.latest()
    assert found is None or math.isfinite(found.at)


@some
@given(st.binary(max_size=20), st.binary(max_size=20))
def test_counts(redis: Redis, field: bytes, number: bytes) -> None:
    redis.set(counters.LAST_RECONCILE, number)
    assert math.isfinite(counters.last_reconcile(redis))
    for counter in counters.EVERYTHING:
        redis.hset(f"metrics:{counter.name}", field, number)  # type: ignore[arg-type]
        counter.collect(redis)


@some
@given(st.lists(st.binary(max_size=20), max_size=4))
def test_entries_of_queues(redis: Redis, entries: list[bytes]) -> None:
    for queue in (report_queue(redis), render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), redis)):
        redis.delete(queue.key, queue.intermediate_queue.key, queue.started_job_registry.key)
        for entry in entries:
            redis.rpush(queue.key, entry)
            redis.rpush(queue.intermediate_queue.key, entry)
            redis.zadd(queue.started_job_registry.key, {entry: 1})
        queues.waiting_ids(queue), queues.taken_ids(queue), queues.begun_ids(queue)
        queues.take_unbegun(queue)
        queues.put_back(queue)
