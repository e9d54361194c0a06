"""Steps that change little, skipped at an operator's wish: TeaCache, for presets that say so."""

from dataclasses import dataclass
from typing import Literal, Self

from environs import EnvValidationError, FileAwareEnv

from gpu_worker.contract.operations import PUBLISHED, VideoSize
from gpu_worker.contract.presets import PRESETS, Preset, Resolution
from gpu_worker.engines.base import EngineJob
from InfiniteTalk.caching import TeaCacheConfig, disable_tea_cache, enable_tea_cache
from InfiniteTalk.sizes import Size
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel

_SIZE_CLASSES: dict[Resolution, Literal["infinitetalk-480", "infinitetalk-720"]] = {
    Resolution.P480: "infinitetalk-480",
    Resolution.P720: "infinitetalk-720",
}
_BYTES_PER_VALUE = 2  # bfloat16


@dataclass(frozen=True)
class StepCaching:
    """How much may be skipped.

    Attributes:
        threshold: As in `TeaCacheConfig`; 0 skips nothing.
    """

    threshold: float = 0.0

    @classmethod
    def from_environment(cls, *, compile_blocks: bool) -> Self:
        """INFINITETALK_STEP_CACHING, which is customarily 0.2.

        Raises:
            EnvValidationError: It is negative, or the blocks are compiled, whose graphs it would interrupt.
        """
        env = FileAwareEnv(strip_whitespace=True)
        threshold = env.float("INFINITETALK_STEP_CACHING", 0.0)
        if threshold < 0:
            raise _invalid("must be 0 or more")
        if threshold and compile_blocks:
            raise _invalid("can't be used together with INFINITETALK_COMPILE")
        return cls(threshold)

    def apply(self, transformer: InfiniteTalkTransformer3DModel, job: EngineJob) -> None:
        """Let the next render skip steps if its preset allows it, and compute them all if not."""
        disable_tea_cache(transformer)
        if self.threshold and PRESETS[job.preset].may_skip_steps:
            size, steps = _SIZE_CLASSES[job.resolution], len(job.sampling.timesteps)
            enable_tea_cache(transformer, TeaCacheConfig(self.threshold, size, steps))

    def residual_bytes(self, size: Size, preset: Preset) -> int:
        """What the blocks' last change takes on the GPU, for every pass of a step."""
        if not (self.threshold and preset.may_skip_steps):
            return 0
        tokens = VideoSize(size.height, size.width).tokens
        return preset.passes * tokens * PUBLISHED.dim * _BYTES_PER_VALUE


def _invalid(reason: str) -> EnvValidationError:
    message = f"INFINITETALK_STEP_CACHING {reason}."
    return EnvValidationError(message, [message])
