"""The loop that claims work while there is room: nothing that goes wrong ends it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import OperationalError

from avatar_api.common.work_loop import WorkLoop


@contextmanager
def running(claim: Callable[[int], list[int]], work: Callable[[int], None], places: int) -> Iterator[None]:
    stopped, due = threading.Event(), threading.Event()
    with ThreadPoolExecutor(places + 1) as pool:

        def begin(number: int) -> "Future[None]":
            return pool.submit(work, number)

        loop = WorkLoop("numbers", claim=claim, begin=begin, places=places, due=due)
        future = pool.submit(loop.run_until, stopped)
        due.set()
        try:
            yield
        finally:
            stopped.set()
            due.set()
            future.result()


def test_a_claim_that_fails_is_logged_and_the_next_round_follows(caplog: pytest.LogCaptureFixture) -> None:
    done, faults = threading.Event(), [OperationalError("away"), ValueError("a fault of ours")]

    def claim(places: int) -> list[int]:
        if faults:
            raise faults.pop()
        return [] if done.is_set() else [1]

    with running(claim, lambda _: done.set(), 1):
        done.wait()
    assert caplog.text.count("nothing could be claimed") == 2


def test_work_that_fails_is_logged_and_leaves_its_place_to_others(caplog: pytest.LogCaptureFixture) -> None:
    left, done = [1, 2], threading.Event()

    def work(number: int) -> None:
        if number == 1:
            raise ValueError("broken")
        done.set()

    with running(lambda _: [left.pop(0)] if left else [], work, 1):
        done.wait()
    assert "one failed" in caplog.text


def test_no_more_is_claimed_than_there_is_room_for() -> None:
    places_free: list[int] = []
    left, done, go_on = list(range(5)), threading.Semaphore(0), threading.Event()

    def claim(places: int) -> list[int]:
        places_free.append(places)
        return [left.pop() for _ in range(min(places, len(left)))]

    def work(_: int) -> None:
        go_on.wait()
        done.release()

    with running(claim, work, 3):
        go_on.set()
        for _ in range(5):
            done.acquire()
    assert (places_free[0], max(places_free)) == (3, 3)
