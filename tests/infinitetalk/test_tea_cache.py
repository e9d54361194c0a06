from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from InfiniteTalk.caching import (
    COEFFICIENTS,
    TeaCacheConfig,
    computed_steps,
    disable_tea_cache,
    enable_tea_cache,
    restart_tea_cache,
)
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel

from .golden_transformer import golden_model, predict
from .recordings import error

STEPS = 12
CONFIG = TeaCacheConfig(threshold=0.6, size="infinitetalk-480", num_inference_steps=STEPS)
PASSES = {"cond": {}, "drop_audio": {"audio_embeds": None}}


@pytest.fixture(scope="module")
def plain_model() -> InfiniteTalkTransformer3DModel:
    return golden_model()


@pytest.fixture
def model(plain_model: InfiniteTalkTransformer3DModel) -> Iterator[InfiniteTalkTransformer3DModel]:
    yield plain_model
    disable_tea_cache(plain_model)


def timesteps() -> torch.Tensor:
    """Close to each other, because a random time embedding turns faster than a trained one."""
    return torch.linspace(1000, 999, STEPS)


def run_window(model: InfiniteTalkTransformer3DModel, steps: int = STEPS) -> dict[str, list[torch.Tensor]]:
    """The velocities of each kind of pass, step by step."""
    velocities: dict[str, list[torch.Tensor]] = {name: [] for name in PASSES}
    for timestep in timesteps()[:steps]:
        for name, changes in PASSES.items():
            with model.cache_context(name):
                velocity = predict(model, "transformer_one", 0, timestep=timestep[None], **changes)
                velocities[name].append(velocity)
    return velocities


def expected_by_rule(model: InfiniteTalkTransformer3DModel, windows: int) -> dict[str, list[torch.Tensor]]:
    """What three slots by turns give, computed from the rules and with every block run every time."""
    slots = [{"change": 0.0, "embedding": None, "residual": None} for _ in range(3)]
    calls = 0
    tokens: dict[str, torch.Tensor] = {}

    def leave(module: torch.nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
        slot = slots[calls % 3]
        embedding = tokens["embedding"]
        compute = calls < 15
        if compute:
            slot["change"] = 0.0
        else:
            moved = ((embedding - slot["embedding"]).abs().mean() / slot["embedding"].abs().mean()).item()
            slot["change"] += np.poly1d(COEFFICIENTS["infinitetalk-480"])(moved)
            compute = slot["change"] >= CONFIG.threshold
        slot["embedding"] = embedding
        if not compute:
            return tokens["in"] + slot["residual"]
        slot["change"] = 0.0
        slot["residual"] = output - tokens["in"]
        return output

    def enter(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        tokens.update({"in": args[0], "embedding": args[2]})

    handles = [
        model.blocks[0].register_forward_pre_hook(enter),
        model.blocks[-1].register_forward_hook(leave),
    ]
    velocities: dict[str, list[torch.Tensor]] = {name: [] for name in PASSES}
    for _ in range(windows):
        for timestep in timesteps():
            for name, changes in PASSES.items():
                velocity = predict(model, "transformer_one", 0, timestep=timestep[None], **changes)
                velocities[name].append(velocity)
                calls = (calls + 1) % (3 * STEPS)
    for handle in handles:
        handle.remove()
    return velocities


def computed(model: InfiniteTalkTransformer3DModel) -> list[bool]:
    """Run a window and see in which forwards the second block's attention ran."""
    ran: list[bool] = []
    handles = [
        model.flatten_tokens.register_forward_hook(lambda module, args, output: ran.append(False)),
        model.blocks[1].attn1.register_forward_hook(lambda module, args, output: ran.__setitem__(-1, True)),
    ]
    run_window(model)
    for handle in handles:
        handle.remove()
    return ran


def test_each_kind_of_pass_reuses_its_own_residual(model: InfiniteTalkTransformer3DModel) -> None:
    exact = run_window(model)
    enable_tea_cache(model, CONFIG)
    cached = run_window(model)

    pattern = computed_steps(model, timesteps(), CONFIG)
    for step, compute in enumerate(pattern):
        for name in PASSES:
            assert torch.equal(cached[name][step], exact[name][step]) == compute
    last_computed = max(step for step, compute in enumerate(pattern) if compute)
    assert error(cached["cond"][last_computed], exact["cond"][last_computed]) == 0


def test_the_skipped_steps_are_known_beforehand_and_the_same_in_all_passes(
    model: InfiniteTalkTransformer3DModel,
) -> None:
    pattern = computed_steps(model, timesteps(), CONFIG)
    enable_tea_cache(model, CONFIG)

    assert computed(model) == [compute for compute in pattern for _ in PASSES]
    assert pattern[:5] == [True] * 5
    assert 0 < pattern.count(False) < STEPS - 5


def test_every_window_starts_afresh(model: InfiniteTalkTransformer3DModel) -> None:
    enable_tea_cache(model, CONFIG)
    first, second = run_window(model), run_window(model)

    for name in PASSES:
        assert all(map(torch.equal, first[name], second[name]))


def test_a_window_left_early_leaves_nothing_behind(model: InfiniteTalkTransformer3DModel) -> None:
    enable_tea_cache(model, CONFIG)
    whole = run_window(model)
    run_window(model, steps=7)
    restart_tea_cache(model)
    again = run_window(model)

    for name in PASSES:
        assert all(map(torch.equal, whole[name], again[name]))


def test_reference_compat_takes_turns_among_three_slots_over_all_windows(
    model: InfiniteTalkTransformer3DModel,
) -> None:
    expected = expected_by_rule(model, windows=2)
    enable_tea_cache(model, replace(CONFIG, reference_compat=True))
    first, second = run_window(model), run_window(model)

    for name in PASSES:
        for ours, rule in zip(first[name] + second[name], expected[name], strict=True):
            assert error(ours, rule) <= 1e-5


def test_a_forward_that_does_not_say_its_pass_is_refused(model: InfiniteTalkTransformer3DModel) -> None:
    enable_tea_cache(model, CONFIG)

    with pytest.raises(ValueError, match="cache context"):
        predict(model, "transformer_one", 0)


def test_disabling_computes_every_step_again(model: InfiniteTalkTransformer3DModel) -> None:
    exact = run_window(model)
    enable_tea_cache(model, CONFIG)
    disable_tea_cache(model)

    assert all(map(torch.equal, run_window(model)["cond"], exact["cond"]))
