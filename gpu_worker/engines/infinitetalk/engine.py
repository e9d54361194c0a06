"""The engine: a job's windows from the pipeline, through stops, full memory and kernels that fail."""

import gc
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from environs import FileAwareEnv

from gpu_worker.contract.presets import PRESETS, Preset, Weights
from gpu_worker.engines.base import (
    EngineInfo,
    EngineJob,
    EngineVitals,
    OnStep,
    RenderedWindow,
    RenderError,
    RenderStoppedError,
)
from gpu_worker.engines.infinitetalk.attention import NATIVE, choose_backend
from gpu_worker.engines.infinitetalk.devices import Device, find_device
from gpu_worker.engines.infinitetalk.job_inputs import (
    bucket_of,
    lora_scales,
    reference_of,
    settings_of,
    speaker_boxes,
)
from gpu_worker.engines.infinitetalk.models import LoadedModels, PreparedModels
from gpu_worker.engines.infinitetalk.placement import (
    Placement,
    choose_placement,
    more_frugal,
    more_frugal_of,
    room_to_work,
)
from gpu_worker.engines.infinitetalk.prompts import PromptCache
from gpu_worker.engines.infinitetalk.render_progress import RenderProgress
from gpu_worker.engines.infinitetalk.step_caching import StepCaching
from gpu_worker.model_store import manifest
from gpu_worker.model_store.location import storage_path
from InfiniteTalk.audio import load_speech
from InfiniteTalk.checkpoints.completeness import IncompleteModelError
from InfiniteTalk.checkpoints.lora_files import LoraError
from InfiniteTalk.checkpoints.original_checkpoint import Speakers, UnknownKeysError
from InfiniteTalk.checkpoints.weight_files import WeightFileError
from InfiniteTalk.conditioning import NEGATIVE_PROMPT
from InfiniteTalk.parallel import Ranks
from InfiniteTalk.sampling import RenderStopped
from InfiniteTalk.settings import Precomputed
from InfiniteTalk.sizes import Size
from InfiniteTalk.states import StepState, WindowState
from InfiniteTalk.warm_up import warm_up

log = logging.getLogger(__name__)

_COMPILED_CODE = "compiled"
"""Folder below the models, where one process leaves compiled code for the next."""

LOAD_ERRORS = (WeightFileError, UnknownKeysError, IncompleteModelError, LoraError, OSError)

FIRST_SIZE = Size(640, 640)
"""What the models leave room for until a job needs more."""

BLACK_LEVEL = 8
"""No picture that a camera took is darker than this everywhere."""


class BlackWindowError(Exception):
    """A window came out black, as some attention kernels make it on some GPUs."""


class InfiniteTalkEngine:
    """Keeps the models of a prepared checkpoint in memory and renders with them.

    Args:
        folder: The prepared checkpoint.
        size: Height and width to render at whatever a job asks for; for a tiny checkpoint on a CPU.
        compile_blocks: Compile the transformer's blocks: slower at the first window, faster afterwards.
        step_caching: Which steps to skip; by default none.
        device: Where to compute; by default on the GPU, or on the CPU where there is none.
        ranks: The processes that share each render, of which this is one.
    """

    def __init__(
        self,
        folder: Path,
        size: Size | None = None,
        *,
        compile_blocks: bool = False,
        step_caching: StepCaching | None = None,
        device: Device | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self._ranks = ranks or Ranks()
        self._device = device or find_device()
        self._prepared = PreparedModels(folder, self._device)
        self._manifest = manifest.read(folder)
        self._presets = self._prepared.presets
        self._load_seconds, self._loaded_bytes = 0.0, 0
        self._folder = folder
        self._size = size
        self._compile_blocks = compile_blocks
        self._step_caching = step_caching or StepCaching()
        self._prompts = PromptCache()
        self._attention = choose_backend(self._device.torch_device, folder)
        self._models: LoadedModels | None = None
        memory = self._device.memory()
        self._free_bytes = None if memory is None else memory.free
        self._placement, self._room = Placement.RESIDENT, 0
        first = max(self._presets or PRESETS, key=lambda name: PRESETS[name].passes)
        self._make_room("single", size or FIRST_SIZE, PRESETS[first])
        self._models_for("single", PRESETS[first].weights)

    @classmethod
    def from_environment(cls, ranks: Ranks | None = None) -> Self:
        """The engine that the environment asks for, as one of `ranks`.

        MODEL_STORAGE_PATH is the prepared checkpoint's folder. INFINITETALK_COMPILE=1 compiles the
        transformer's blocks. INFINITETALK_STEP_CACHING=0.2 skips steps where a preset allows it.
        INFINITETALK_SIZE=64,96 sets the size.
        """
        env = FileAwareEnv(strip_whitespace=True)
        size = env.list("INFINITETALK_SIZE", [], subcast=int)
        compile_blocks = env.bool("INFINITETALK_COMPILE", False)
        return cls(
            storage_path(),
            Size(*size) if size else None,
            compile_blocks=compile_blocks,
            step_caching=StepCaching.from_environment(compile_blocks=compile_blocks),
            ranks=ranks,
        )

    @property
    def info(self) -> EngineInfo:
        """What rendered, the last job's peak of GPU memory included."""
        details: dict[str, Any] = {
            "models": dict(self._manifest.revisions),
            "models_digest": self._manifest.digest,
            "precision": self._manifest.precision,
            "attention": self._attention,
            "placement": self._placement,
            "step_caching": self._step_caching.threshold,
            "load_seconds": self._load_seconds,
            "torch": torch.__version__,
        }
        if memory := self._device.memory():
            details["peak_vram_bytes"] = memory.peak
        return EngineInfo("infinitetalk", self._device.name, details, denoises=True, presets=self._presets)

    @property
    def vitals(self) -> EngineVitals:
        memory = self._device.memory()
        if memory is None:
            return EngineVitals(
                self._load_seconds, self._loaded_bytes, uncompiled_calls=self._uncompiled_calls
            )
        return EngineVitals(
            load_seconds=self._load_seconds,
            loaded_bytes=self._loaded_bytes,
            vram_used_bytes=memory.total - memory.free,
            vram_total_bytes=memory.total,
            vram_peak_bytes=memory.peak,
            utilisation=self._device.utilisation(),
            uncompiled_calls=self._uncompiled_calls,
        )

    def render(self, job: EngineJob, on_step: OnStep) -> Iterator[RenderedWindow]:
        """Yield the windows from `job.next_window` on; see `Engine.render`."""
        render = RenderProgress(job, on_step)
        self._device.reset_peak()
        while True:
            try:
                yield from self._windows(render)
                return
            except torch.OutOfMemoryError:
                remedy = self._be_more_frugal
            except BlackWindowError:
                render.back_to_window_start()
                remedy = self._be_more_careful
            # Only here is the error gone, and with it what its traceback held in memory.
            remedy()

    def _windows(self, render: RenderProgress) -> Iterator[RenderedWindow]:
        """The windows from where `render` is, which remembers how far they came."""
        job, preset = render.job, PRESETS[render.job.preset]
        if not render.announce("encoding"):
            raise RenderStoppedError
        speakers: Speakers = "multi" if len(job.speech) == 2 else "single"
        reference = reference_of(job)
        size = self._size or bucket_of(job, reference.size)
        self._make_room(speakers, size, preset)
        models = self._models_for(speakers, preset.weights)
        models.loras.use(lora_scales(preset, models.loras.names))
        self._step_caching.apply(models.pipeline.transformer, job)
        stream = models.pipeline.stream(
            reference=reference,
            speech=[load_speech(path) for path in job.speech],
            prompt=job.prompt,
            settings=settings_of(job),
            resolution=size,
            speaking_order=job.speaking_order.value,
            boxes=speaker_boxes(job),
            video_frames=job.num_frames,
            resume_from=render.position,
            callback=render.after_step,
            given=self._embedded_prompts(models, job),
        )
        try:
            for window in stream:
                if self._attention != NATIVE and _is_black(window.frames):
                    raise BlackWindowError
                state = window.state.to_bytes() if window.state else None
                yield RenderedWindow(window.index, window.frames, state)
                if not render.window_done(window.state):
                    raise RenderStoppedError
        except RenderStopped as stop:
            raise RenderStoppedError(_step_bytes(stop.state)) from stop

    def _embedded_prompts(self, models: LoadedModels, job: EngineJob) -> Precomputed:
        try:
            return self._prompt_embeds(models, job)
        except LOAD_ERRORS as error:  # T5 is read here.
            log.exception("T5 can't be loaded")
            raise RenderError("model_unavailable", "The models are missing or damaged.") from error

    def _prompt_embeds(self, models: LoadedModels, job: EngineJob) -> Precomputed:
        negative = None
        if job.sampling.text_guidance_scale != 1:
            negative = self._prompts.get(job.negative_prompt or NEGATIVE_PROMPT, models.encode_prompt)
        return Precomputed(
            prompt_embeds=self._prompts.get(job.prompt, models.encode_prompt), negative_prompt_embeds=negative
        )

    # --- Models in memory ---

    def _models_for(self, speakers: Speakers, weights: Weights) -> LoadedModels:
        """The models with a transformer and the audio layers for one or two speakers."""
        try:
            if self._models is None or self._models.weights is not weights:
                self._models = self._load(speakers, weights)
            elif self._models.speakers != speakers:
                self._prepared.exchange_audio_layers(self._models, speakers)
                self._warm_up(self._models)
        except LOAD_ERRORS as error:
            log.exception("the models can't be loaded")
            raise RenderError("model_unavailable", "The models are missing or damaged.") from error
        return self._models

    def _load(self, speakers: Speakers, weights: Weights) -> LoadedModels:
        self._forget_models()
        began = time.monotonic()
        models = self._prepared.load(speakers, self._placement, self._room, weights)
        self._load_seconds = round(time.monotonic() - began, 2)
        size = self._prepared.size(speakers, weights)
        self._loaded_bytes = size.total - size.text_encoder  # T5 is read when a prompt needs it.
        rate = self._loaded_bytes / 1e9 / self._load_seconds
        log.info("models loaded in %.1f s, %.2f GB/s", self._load_seconds, rate)
        if self._attention != NATIVE:
            models.pipeline.transformer.set_attention_backend(self._attention)
        self._ranks.split(models.pipeline.transformer)
        if self._compile_blocks:
            models.pipeline.transformer.compile_repeated_blocks()
        self._warm_up(models)
        return models

    def _warm_up(self, models: LoadedModels) -> None:
        """Compile for every kind of forward now; later processes find the code."""
        if not self._compile_blocks:
            return
        if os.access(self._folder, os.W_OK):
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(self._folder / _COMPILED_CODE))
        speakers = 2 if models.speakers == "multi" else 1
        warm_up(models.pipeline.transformer, models.loras, speakers, self._device.torch_device)

    @property
    def _uncompiled_calls(self) -> int:
        compiled = None if self._models is None else self._models.pipeline.transformer.compiled
        return 0 if compiled is None else compiled.uncompiled_calls

    def _forget_models(self) -> None:
        self._models = None
        gc.collect()
        self._device.empty_cache()

    def _make_room(self, speakers: Speakers, size: Size, preset: Preset) -> None:
        """Leave so much of the GPU's memory as windows of this size take; models in their way are moved."""
        if self._free_bytes is None:
            return
        count = 2 if speakers == "multi" else 1
        frames = preset.windows.num_frames
        room = room_to_work(size, frames, speakers=count, passes=preset.passes, setup=self._prepared.setup)
        room += self._step_caching.residual_bytes(size, preset)
        if room <= self._room:
            return
        try:
            fitting = choose_placement(self._free_bytes, self._prepared.size(speakers, preset.weights), room)
        except (WeightFileError, OSError) as error:
            raise RenderError("model_unavailable", "The models are missing or damaged.") from error
        self._room, placement = room, more_frugal_of(self._placement, fitting)
        if placement is not self._placement or placement is Placement.PARTLY_OFFLOADED:
            log.info("placement %s leaves %.1f GB to work", placement, room / 1e9)
            self._placement = placement
            self._forget_models()
        elif self._models is not None:
            self._models.leave_room(room)

    def _be_more_careful(self) -> None:
        log.warning("attention %s gives black frames, %s takes its place", self._attention, NATIVE)
        self._attention = NATIVE
        if self._models is not None:
            self._models.pipeline.transformer.set_attention_backend(NATIVE)

    def _be_more_frugal(self) -> None:
        """Make room after the GPU's memory ran out.

        Raises:
            RenderError: `out_of_memory`, when there is no more frugal placement.
        """
        # One of several ranks can't begin a step anew: the others wait for it inside the step.
        placement = more_frugal(self._placement) if self._ranks.size == 1 else None
        if placement is None:
            raise RenderError("out_of_memory", "The render needs more memory than the GPU has.")
        log.warning("out of GPU memory, going on with placement %s", placement)
        self._placement = placement
        self._forget_models()


def _step_bytes(state: WindowState | StepState) -> bytes | None:
    return state.to_bytes() if isinstance(state, StepState) else None


def _is_black(frames: npt.NDArray[np.uint8]) -> bool:
    return bool(frames.max() < BLACK_LEVEL)
