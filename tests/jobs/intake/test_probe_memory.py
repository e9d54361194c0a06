"""However many files come at once, their probes take a bounded memory, and no tenant all of it."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from queue import Queue

import pytest
from rest_framework.test import APIClient

from jobs.intake.probe_memory import MAX_RUNNING, MAX_WAITING, ProbeMemory, ProbesBusyError, probe_memory
from jobs.models import Job
from tests.jobs.clients import form

SOON, LATER = 0.05, 20.0


@contextmanager
def held(memory: ProbeMemory, *owners: str, num_bytes: int = 1) -> Iterator[ExitStack]:
    """Probes of these owners that run."""
    with ExitStack() as running:
        for owner in owners:
            running.enter_context(memory.taken(owner, num_bytes))
        yield running


def test_probes_of_several_tenants_share_the_memory() -> None:
    memory = ProbeMemory(3, SOON)
    with held(memory, "a", "b", "c"), pytest.raises(ProbesBusyError), held(memory, "d"):
        pass
    with held(memory, "d", "e", "f"):
        pass


def test_one_that_needs_more_than_there_is_runs_by_itself() -> None:
    memory = ProbeMemory(3, SOON)
    with held(memory, "a", num_bytes=5), pytest.raises(ProbesBusyError), held(memory, "b"):
        pass


def test_a_tenant_leaves_memory_to_the_others() -> None:
    memory = ProbeMemory(100, SOON)
    with held(memory, *["a"] * MAX_RUNNING):
        with pytest.raises(ProbesBusyError), held(memory, "a"):
            pass
        with held(memory, "b"):
            pass


def test_one_that_waits_goes_on_when_another_ends() -> None:
    memory, started = ProbeMemory(1, LATER), threading.Event()

    def probe() -> None:
        with memory.taken("b", 1):
            started.set()

    with held(memory, "a") as running:
        waiting = threading.Thread(target=probe)
        waiting.start()
        assert not started.wait(SOON)
        running.close()
        assert started.wait(LATER)
    waiting.join()


def test_a_tenant_waits_with_few_threads_and_is_refused_at_once_beyond() -> None:
    memory, results = ProbeMemory(1, LATER), Queue[str]()

    def probe() -> None:
        try:
            with memory.taken("a", 1):
                results.put("ran")
        except ProbesBusyError:
            results.put("refused")

    probes = [threading.Thread(target=probe) for _ in range(MAX_WAITING + 1)]
    with held(memory, "b"):
        for thread in probes:
            thread.start()
        assert results.get(timeout=LATER / 2) == "refused"
    for thread in probes:
        thread.join()
    assert [results.get_nowait() for _ in range(MAX_WAITING)] == ["ran"] * MAX_WAITING


@pytest.mark.usefixtures("redis", "store")
def test_a_request_whose_turn_does_not_come_is_answered_with_503_and_leaves_nothing(
    acme_client: APIClient, portrait: bytes, speech: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_memory, "_wait_seconds", SOON)
    with held(probe_memory, "others", num_bytes=2**40):
        answer = acme_client.post("/v1/jobs", form(portrait, speech))
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert answer["Retry-After"] == "5"
    assert not Job.objects.exists()
    assert acme_client.post("/v1/jobs", form(portrait, speech)).status_code == 202
