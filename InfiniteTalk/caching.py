"""TeaCache for InfiniteTalk: steps whose time embedding hardly moved reuse the blocks' last residual.

After "Timestep Embedding Tells: It's Time to Cache for Video Diffusion Model" (Liu et al., 2024), with the
polynomials of InfiniteTalk. It works through diffusers' hooks on the blocks; the transformer's forward knows
nothing of it.

The decision depends on the timestep alone, so all passes of a step decide alike, and so do all processes that
share a forward. `computed_steps` says beforehand which steps will be computed. Before any of these a render
can go on from latents alone, to the bit: nothing that was computed earlier is reused later.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import torch
from diffusers.hooks.hooks import BaseState, HookRegistry, ModelHook, StateManager
from torch import Tensor, nn

from .transformer import InfiniteTalkTransformer3DModel

WARM_UP_STEPS = 5
REFERENCE_SLOTS = 3

# Highest power first: the change of the blocks' output that a change of the time embedding foretells.
COEFFICIENTS = {
    "infinitetalk-480": (2.57151496e05, -3.54229917e04, 1.40286849e03, -1.35890334e01, 1.32517977e-01),
    "infinitetalk-720": (8.10705460e03, 2.13393892e03, -3.72934672e02, 1.66203073e01, -4.17769401e-02),
}

_HOOK = "infinitetalk_tea_cache"


@dataclass(frozen=True)
class TeaCacheConfig:
    """How much may be skipped.

    Attributes:
        threshold: foretold change that may add up before a step is computed again; 0.2 is customary, and more
            skips more.
        size: the resolution class, which has a polynomial of its own.
        num_inference_steps: steps of a window, after which a slot starts afresh.
        reference_compat: take turns among three slots, as the published code does, instead of keeping one for
            each kind of pass. The same with three passes a step; with two, a skipped pass gets the residual
            of the other kind, and windows depend on those before: one rendered alone has other bits.
    """

    threshold: float
    size: Literal["infinitetalk-480", "infinitetalk-720"]
    num_inference_steps: int
    reference_compat: bool = False


class TeaCacheSlot(BaseState):
    """What is remembered of one kind of pass."""

    def __init__(self, config: TeaCacheConfig) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        self.step = 0
        self.change = 0.0
        self.timestep_proj: Tensor | None = None
        self.residual: Tensor | None = None

    @torch.compiler.disable
    def must_compute(self, timestep_proj: Tensor) -> bool:
        """Decide about the next step, whose time is embedded as [1, 6, d]."""
        return self.is_due(timestep_proj) or self.residual is None

    def is_due(self, timestep_proj: Tensor) -> bool:
        """Whether the next step is to be computed by the change that has added up until then."""
        if self.step == self.config.num_inference_steps:
            self.reset()
        if self.step < WARM_UP_STEPS or self.timestep_proj is None:
            compute = True
        else:
            difference = (timestep_proj - self.timestep_proj).abs().mean()
            moved = (difference / self.timestep_proj.abs().mean()).item()
            self.change += reduce(lambda sum_, c: sum_ * moved + c, COEFFICIENTS[self.config.size], 0.0)
            compute = self.change >= self.config.threshold
        if compute:
            self.change = 0.0
        self.timestep_proj = timestep_proj
        self.step += 1
        return compute


class _ReferenceSlots(StateManager):
    """Three slots by turns, whatever the pass, running on from window to window."""

    def __init__(self, config: TeaCacheConfig) -> None:
        super().__init__(TeaCacheSlot, (config,))
        self._slots = [TeaCacheSlot(config) for _ in range(REFERENCE_SLOTS)]
        self._calls = 0

    def get_state(self) -> TeaCacheSlot:
        slot = self._slots[self._calls % REFERENCE_SLOTS]
        self._calls += 1
        return slot

    def reset(self) -> None:
        self._context = None


class _TeaCache:
    """The forward under way, as the hooks of all blocks see it."""

    def __init__(self, config: TeaCacheConfig) -> None:
        self.config = config
        self.slots: StateManager = (
            _ReferenceSlots(config) if config.reference_compat else StateManager(TeaCacheSlot, (config,))
        )
        self.slot: TeaCacheSlot
        self.skipping = False
        self._entering: Tensor | None = None

    def enter(self, hidden_states: Tensor, timestep_proj: Tensor) -> None:
        self.slot = self.slots.get_state()
        self.skipping = not self.slot.must_compute(timestep_proj)
        self._entering = None if self.skipping else hidden_states

    def reuse(self, hidden_states: Tensor) -> Tensor:
        assert self.slot.residual is not None
        return hidden_states + self.slot.residual

    def leave(self, hidden_states: Tensor) -> None:
        assert self._entering is not None
        self.slot.residual = hidden_states - self._entering
        self._entering = None


class _TeaCacheBlockHook(ModelHook):
    _is_stateful = True

    def __init__(self, cache: _TeaCache, is_first: bool, is_last: bool) -> None:
        super().__init__()
        self.cache = cache
        self.state_manager = cache.slots  # where diffusers looks for what a cache context has to be told to
        self.is_first = is_first
        self.is_last = is_last

    def new_forward(
        self, module: nn.Module, hidden_states: Tensor, contexts: Any, timestep_proj: Tensor, *args: Any
    ) -> Tensor:
        if self.is_first:
            self.cache.enter(hidden_states, timestep_proj)
        if self.cache.skipping:
            return self.cache.reuse(hidden_states) if self.is_first else hidden_states
        hidden_states = self.fn_ref.original_forward(hidden_states, contexts, timestep_proj, *args)
        if self.is_last:
            self.cache.leave(hidden_states)
        return hidden_states

    def reset_state(self, module: nn.Module) -> nn.Module:
        self.state_manager.reset()
        return module


def enable_tea_cache(transformer: InfiniteTalkTransformer3DModel, config: TeaCacheConfig) -> None:
    """Skip steps from now on. Enable it afresh for each video.

    Every forward must run within `transformer.cache_context(name)`, where the name is that of the pass. A
    window left before its last step must be followed by `restart_tea_cache`.
    """
    cache = _TeaCache(config)
    last = len(transformer.blocks) - 1
    for index, block in enumerate(transformer.blocks):
        registry = HookRegistry.check_if_exists_or_initialize(block)
        registry.register_hook(_TeaCacheBlockHook(cache, index == 0, index == last), _HOOK)
    HookRegistry.check_if_exists_or_initialize(transformer).invalidate_child_registries_cache()


def disable_tea_cache(transformer: InfiniteTalkTransformer3DModel) -> None:
    """Compute every step again."""
    registry = HookRegistry.check_if_exists_or_initialize(transformer)
    registry.remove_hook(_HOOK, recurse=True)
    registry.invalidate_child_registries_cache()


def restart_tea_cache(transformer: InfiniteTalkTransformer3DModel) -> None:
    """Forget the window under way. With `reference_compat` nothing is forgotten, as in the published code."""
    HookRegistry.check_if_exists_or_initialize(transformer).reset_stateful_hooks(recurse=True)


def computed_steps(
    transformer: InfiniteTalkTransformer3DModel, timesteps: Tensor, config: TeaCacheConfig
) -> list[bool]:
    """Which of a window's steps will be computed; the rest will be skipped.

    Args:
        transformer: the model, with its time embedding on the timesteps' device.
        timesteps: those of the schedule without the final 0, [num_inference_steps].
        config: as enabled, without `reference_compat` or with three passes a step.
    """
    slot = TeaCacheSlot(config)
    return [slot.is_due(_embedded(transformer, timestep)) for timestep in timesteps]


def starting_steps(transformer: InfiniteTalkTransformer3DModel, timesteps: Tensor) -> list[bool] | None:
    """Before which of a window's steps, and after its last, a render can go on from latents.

    Args:
        transformer: the model, with or without TeaCache.
        timesteps: those of the schedule without the final 0, [num_inference_steps].

    Returns:
        None where a cache that isn't saved reaches over all steps: TeaCache with `reference_compat`, or a
        cache of diffusers.
    """
    if not _is_cached(transformer):
        return [True] * (len(timesteps) + 1)
    cache = _enabled(transformer)
    if cache is None or isinstance(cache.slots, _ReferenceSlots):
        return None
    return [*computed_steps(transformer, timesteps, cache.config), True]


def skip_to_step(transformer: InfiniteTalkTransformer3DModel, passed: Tensor) -> None:
    """Let the cache context's next forward be the one after the timesteps `passed`, [steps]."""
    if cache := _enabled(transformer):
        slot = cache.slots.get_state()
        for timestep in passed:
            slot.is_due(_embedded(transformer, timestep))


def _embedded(transformer: InfiniteTalkTransformer3DModel, timestep: Tensor) -> Tensor:
    embedded: Tensor = transformer.condition_embedder(timestep[None].to(transformer.device))[1]
    return embedded


def _enabled(transformer: InfiniteTalkTransformer3DModel) -> _TeaCache | None:
    registry = HookRegistry.check_if_exists_or_initialize(transformer.blocks[0])
    hook = registry.get_hook(_HOOK)
    return hook.cache if isinstance(hook, _TeaCacheBlockHook) else None


def _is_cached(transformer: InfiniteTalkTransformer3DModel) -> bool:
    """Whether a cache is on whose state sampling depends on, as TeaCache or diffusers' own."""
    registries = (getattr(module, "_diffusers_hook", None) for module in transformer.modules())
    return any(hook._is_stateful for registry in registries if registry for hook in registry.hooks.values())
