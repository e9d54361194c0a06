"""Control workers go on, whatever is in their queues and however often Redis is away."""

import threading
import time

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue

from jobs.operations import periodic, queue_worker
from jobs.queues import WAKE_FUNCTION, outbound_queue


@pytest.fixture
def queue(redis: Redis) -> Queue:
    return outbound_queue(redis)


def served(queue: Queue, *clients: Redis) -> bool:
    """Serve until the entry `good` is done, and whether it is; `clients` are used up first."""
    stop, left = threading.Event(), iter(clients)

    def connect() -> Redis:
        return next(left, None) or Redis(connection_pool=queue.connection.connection_pool)

    watch = threading.Thread(target=stop_when_done, args=(queue, stop))
    watch.start()
    queue_worker.serve(outbound_queue, connect, stop)
    watch.join()
    return is_done(queue)


def is_done(queue: Queue) -> bool:
    job = queue.fetch_job("good")
    return job is not None and job.is_finished


def stop_when_done(queue: Queue, stop: threading.Event) -> None:
    while not is_done(queue):
        time.sleep(0.02)
    stop.set()


def enqueue(queue: Queue, rq_id: str) -> None:
    queue.enqueue(WAKE_FUNCTION, job_id=rq_id, job_timeout=-1, result_ttl=60)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
class TestEntries:
    def test_an_entry_that_is_no_text_is_left_out_and_the_next_one_done(self, queue: Queue) -> None:
        queue.connection.rpush(queue.key, b"\xff\xfe")
        enqueue(queue, "good")
        assert served(queue)

    @pytest.mark.parametrize(
        "fields",
        [
            {"created_at": b"never"},
            {"data": b"\xff"},
            {"data": b"[]"},
            {"status": b"\xff"},
            {"timeout": b"x"},
        ],
    )
    def test_an_entry_that_cannot_be_read_is_left_out(self, queue: Queue, fields: dict[str, bytes]) -> None:
        queue.connection.hset("rq:job:damaged", mapping=fields)  # type: ignore[arg-type]
        queue.connection.rpush(queue.key, "damaged")
        enqueue(queue, "good")
        assert served(queue)

    def test_a_worker_outlives_an_absence_of_redis(
        self, queue: Queue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queue_worker, "AWAY_SECONDS", 0.01)
        enqueue(queue, "good")
        absent = Redis(unix_socket_path="/nowhere", retry=Retry(NoBackoff(), 0))
        assert served(queue, absent, absent)


def test_a_periodic_step_that_fails_stops_neither_the_others_nor_the_next_round(
    redis: Redis, db: None
) -> None:
    stop = threading.Event()
    done: list[int] = []

    def fail() -> None:
        raise ValueError("an odd value")

    def count() -> None:
        done.append(1)
        if len(done) == 3:
            stop.set()

    periodic.repeat(stop, 0, {"failing": fail, "counting": count})
    assert len(done) == 3
