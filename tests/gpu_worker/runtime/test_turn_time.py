"""A turn begins no step that would not leave time to hand back."""

from collections.abc import Iterator

import pytest

from gpu_worker.contract.presets import PresetName, Resolution
from gpu_worker.contract.turns import EXECUTION_SECONDS, HAND_BACK_SECONDS
from gpu_worker.engines.base import EngineVitals
from gpu_worker.runtime.step_times import StepTimes, computed_seconds
from gpu_worker.runtime.turn_time import TurnTime
from tests.gpu_worker.painted_engine import PaintedEngine
from tests.gpu_worker.playing_control import Control


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class EngineOnGpu(PaintedEngine):
    vitals = EngineVitals(load_seconds=40.0, vram_total_bytes=48 * 10**9)


@pytest.fixture
def clock() -> Iterator[Clock]:
    return Clock()


@pytest.mark.parametrize("step_seconds", [1.0, 17.0, 95.0, 133.0, 280.0])
def test_every_step_of_a_turn_ends_in_time_to_hand_back(clock: Clock, step_seconds: float) -> None:
    turn = TurnTime(EXECUTION_SECONDS - HAND_BACK_SECONDS, clock)
    while turn.permits(step_seconds):
        clock.now += step_seconds
    assert EXECUTION_SECONDS - step_seconds < clock.now + HAND_BACK_SECONDS <= EXECUTION_SECONDS


def test_a_turn_always_begins_its_first_step_so_that_the_job_advances(clock: Clock) -> None:
    turn = TurnTime(575.0, clock)
    assert turn.permits(1_000.0)
    assert not turn.permits(1_000.0)


def test_the_next_step_is_expected_to_take_what_the_longest_one_took(clock: Clock, control: Control) -> None:
    times, spec = StepTimes(clock), control.spec()
    for now in (0.0, 12.0, 30.0, 44.0):
        clock.now = now
        times.begin(spec, "sampling")
    assert times.expected(spec, "sampling", EngineOnGpu(control.gates)) == 18.0


def test_the_pause_between_two_jobs_is_no_step(clock: Clock, control: Control) -> None:
    times, spec = StepTimes(clock), control.spec()
    times.begin(spec, "sampling")
    clock.now = 5.0
    times.begin(spec, "sampling")
    times.stop()
    clock.now = 500.0
    times.begin(spec, "sampling")
    assert times.expected(spec, "sampling", EngineOnGpu(control.gates)) == 5.0


def test_a_kind_of_job_that_was_not_measured_is_computed(clock: Clock, control: Control) -> None:
    times, engine = StepTimes(clock), EngineOnGpu(control.gates)
    small = control.spec()
    large = control.spec(resolution=Resolution.P720, preset=PresetName.QUALITY)
    for now in (0.0, 12.0):
        clock.now = now
        times.begin(small, "sampling")
    assert times.expected(large, "sampling", engine) == computed_seconds(large, engine) > 60.0


def test_before_the_first_step_the_models_are_loaded_and_the_inputs_encoded(
    clock: Clock, control: Control
) -> None:
    times, engine, spec = StepTimes(clock), EngineOnGpu(control.gates), control.spec()
    computed = computed_seconds(spec, engine)
    assert times.expected(spec, "encoding", engine) > computed + engine.vitals.load_seconds
