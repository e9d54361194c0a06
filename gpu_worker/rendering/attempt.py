"""One attempt at one job: fetch, render window by window, publish each, join them, report."""

import logging
import threading
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gpu_worker.contract import storage_keys
from gpu_worker.contract.coordination import Progress, Stop
from gpu_worker.contract.presets import PRESETS, Sampling, version_1_sampling
from gpu_worker.contract.result import RenderResult
from gpu_worker.contract.spec import SLOW, ReferenceKind, RenderedVideo, RenderReport, RenderSpec, ReportKind
from gpu_worker.contract.windows import Window
from gpu_worker.engines.base import EngineJob, RenderedWindow, RenderError, RenderStoppedError, Step
from gpu_worker.media import audio_files, video_files
from gpu_worker.rendering import resume, simulation
from gpu_worker.rendering.control_channel import ControlChannel
from gpu_worker.rendering.errors import MODEL_UNAVAILABLE, StorageError, translate
from gpu_worker.rendering.publisher import Publisher
from gpu_worker.rendering.quality import QualityLog
from gpu_worker.rendering.resume import StartingPoint
from gpu_worker.rendering.stage_timer import Stages
from gpu_worker.runtime.context import WorkerContext
from gpu_worker.storage.retry import Disk, RetryPolicy
from gpu_worker.storage.store import Store

log = logging.getLogger(__name__)

# Joining and uploading come after the last window, so progress keeps something for them.
SAMPLING_SHARE = 0.98
RETRIES = RetryPolicy()


@dataclass(frozen=True)
class Inputs:
    reference: Path
    speech: tuple[Path, ...]


class Attempt:
    """One attempt. `run` belongs to the main thread; `leave_at_once` may be called from another one."""

    def __init__(self, worker: WorkerContext, spec: RenderSpec) -> None:
        self.channel = ControlChannel(worker.redis, spec, worker.name)
        self._worker = worker
        self._spec = spec
        self._windows = PRESETS[spec.preset].windows.plan(spec.num_frames)
        self._windows_done = len(spec.resume.window_prefixes)
        self._disk = Disk(self.channel.stopping, RETRIES)
        self._store = Store(worker.storage, self.channel.stopping, RETRIES, worker.count_storage_error)
        self._stages = Stages("starting")
        self._step: Step | None = None
        self._publisher: Publisher | None = None
        self._quality: QualityLog | None = None
        self._ending = threading.Lock()
        self._ended = False

    def run(self) -> None:
        """Render, and report how it ended; whatever goes wrong ends in a report."""
        with self.channel:
            try:
                self._go_on()
                self._report(ReportKind.STARTED)
                self._render()
            except RenderStoppedError as stop:
                self._leave(stop.step_state)
            except Exception as error:
                self._fail(error)
            finally:
                self._worker.step_times.stop()

    def stop(self, stop: Stop) -> None:
        """Stop at the next step."""
        self.channel.stop(stop)

    def leave_at_once(self, timeout: float) -> None:
        """Hand back in the middle of a step that takes too long, with the state of the last finished one.

        Args:
            timeout: Seconds that a window on its way to the store is waited for.
        """
        state = self._step.state if self._step else None
        self._leave(state() if state else None, timeout)

    @property
    def job_id(self) -> str:
        return self._spec.job_id

    @property
    def number(self) -> int:
        """Which attempt at the job it is."""
        return self._spec.attempt

    @property
    def seconds(self) -> float:
        """How long it has held the worker so far."""
        return self._stages.total_seconds

    # --- The way to a video ---

    def _render(self) -> None:
        with self._worker.scratch.folder(f"{self._spec.job_id}-{self._spec.attempt}") as folder:
            self._tell("starting")
            inputs = self._fetch(folder)
            self._quality = self._quality_log(inputs)
            with Publisher(
                self._store,
                self._disk,
                self._spec.prefix,
                folder,
                partial(audio_files.write, inputs.speech, self._spec.speaking_order, self._go_on),
                self._quality.look,
                self._window_published,
            ) as publisher:
                self._publisher = publisher
                if self._windows_done < len(self._windows):
                    start = resume.find(
                        self._spec, self._store, carries_state=self._worker.engine.info.carries_state
                    )
                    self._render_windows(inputs, start, publisher)
                publisher.wait()
                self._finish(folder, publisher)

    def _fetch(self, folder: Path) -> Inputs:
        suffix = {"image": ".png", "video": ".mp4"}[self._spec.reference_kind]
        reference = self._store.fetch(self._spec.reference, folder / f"reference{suffix}")
        speech = tuple(
            self._store.fetch(file, folder / f"speech-{number}.flac")
            for number, file in enumerate(self._spec.speech, start=1)
        )
        simulation.fail_if_requested(self._spec.simulate, "starting")
        return Inputs(reference, speech)

    def _quality_log(self, inputs: Inputs) -> QualityLog:
        still = self._spec.reference_kind is ReferenceKind.IMAGE
        return QualityLog(inputs.reference if still else None, inputs.speech, self._spec.speaking_order)

    def _render_windows(self, inputs: Inputs, start: StartingPoint, publisher: Publisher) -> None:
        if self._spec.engine is not self._worker.engine_name:
            raise RenderError(MODEL_UNAVAILABLE, f"The engine {self._spec.engine} does not run here.")
        for rendered in self._worker.engine.render(self._engine_job(inputs, start), self._on_step):
            publisher.put(self._windows[rendered.index], self._fit_for_resuming(rendered))
            self._hold()

    @property
    def _sampling(self) -> Sampling:
        return self._spec.sampling or version_1_sampling(self._spec.preset, self._spec.resolution)

    def _engine_job(self, inputs: Inputs, start: StartingPoint) -> EngineJob:
        spec = self._spec
        return EngineJob(
            sampling=self._sampling,
            reference=inputs.reference,
            reference_kind=spec.reference_kind,
            speech=inputs.speech,
            **spec.parameters(),
            num_frames=spec.num_frames,
            crop=spec.crop,
            next_window=start.next_window,
            window_state=start.window_state,
            step_state=start.step_state,
        )

    def _fit_for_resuming(self, rendered: RenderedWindow) -> RenderedWindow:
        """The last window's state is of use to nobody."""
        last = rendered.index == len(self._windows) - 1
        return replace(rendered, state=None) if last else rendered

    def _hold(self) -> None:
        if self._spec.simulate == SLOW:
            self.channel.stopping.wait(simulation.SLOW_SECONDS)
            self._go_on()

    def _finish(self, folder: Path, publisher: Publisher) -> None:
        self._tell("uploading", window=len(self._windows) - 1, step=1, steps=1)
        simulation.fail_if_requested(self._spec.simulate, "uploading")
        self._fetch_earlier_segments(publisher)
        video, thumbnail = folder / "output.mp4", folder / "thumbnail.jpg"
        self._disk.write("join the windows", partial(self._join, publisher, video))
        write_thumbnail = partial(video_files.write_thumbnail, video, thumbnail, job_id=self._spec.job_id)
        self._disk.write("make the thumbnail", write_thumbnail)
        self._go_on()
        self._store.save(self._spec.output_key, video)
        self._store.save(storage_keys.thumbnail(self._spec.prefix), thumbnail)
        self._succeed(video_files.describe_video(video))

    def _join(self, publisher: Publisher, video: Path) -> None:
        video_files.mux_video(
            init=publisher.init_file,
            segments=[publisher.segment_file(window.index) for window in self._windows],
            speech=publisher.speech_file,
            job_id=self._spec.job_id,
            out=video,
        )

    def _fetch_earlier_segments(self, publisher: Publisher) -> None:
        prefixes = self._spec.resume.window_prefixes
        if prefixes:
            self._store.download(storage_keys.init_section(prefixes[0]), publisher.init_file)
        for index, prefix in enumerate(prefixes):
            self._store.download(storage_keys.segment(prefix, index), publisher.segment_file(index))

    # --- Between two steps ---

    def _on_step(self, step: Step) -> bool:
        self._step = step
        self._tell(step.stage, step.window, step.step, step.steps)
        simulation.fail_if_requested(self._spec.simulate, step.stage)
        self._keep_turn_time(step.stage)
        return not self.channel.stopping.is_set()

    def _keep_turn_time(self, stage: str) -> None:
        """Measure the step that ended here; end a turn for which the next one would take too long."""
        worker = self._worker
        worker.step_times.begin(self._spec, stage)
        if worker.turn_time is None:
            return
        expected = worker.step_times.expected(self._spec, stage, worker.engine)
        if not worker.turn_time.permits(expected):
            log.info("the next step may take %.0f s, more than is left of this turn", expected)
            worker.end_turn()

    def _go_on(self) -> None:
        if self.channel.stopping.is_set():
            raise RenderStoppedError

    def _tell(self, stage: str, window: int = 0, step: int = 0, steps: int = 1) -> None:
        self._stages.enter(stage)
        num_windows = len(self._windows)
        finished = max(self._windows_done, window + step / steps)
        self.channel.tell(
            Progress(
                attempt=self._spec.attempt,
                stage=stage,
                window=window,
                windows=num_windows,
                step=step,
                steps=steps,
                fraction=round(SAMPLING_SHARE * finished / num_windows, 4),
            )
        )

    def _window_published(self, window: Window) -> None:
        self._windows_done = window.index + 1
        log.info("window %d of %d is saved", self._windows_done, len(self._windows))
        self._report(ReportKind.WINDOW)

    # --- How it can end: once, whichever thread comes first ---

    def _succeed(self, video: RenderedVideo) -> None:
        with self._ending:
            if self._ended:
                return
            result = RenderResult(video, self._receipt(), self._stages.total_seconds)
            self._store.save(storage_keys.result(self._spec.prefix), result.to_json())
            self._end(
                ReportKind.SUCCEEDED,
                video=result.video,
                receipt=result.receipt,
                gpu_seconds=result.gpu_seconds,
            )

    def _fail(self, error: Exception) -> None:
        translated = translate(error)
        if isinstance(error, RenderError):
            log.info("%s failed: %s", self._spec.job_id, error.code)
        else:
            log.error("%s failed: %s", self._spec.job_id, translated.code, exc_info=error)
        with self._ending:
            self._end(ReportKind.FAILED, error_code=translated.code, error_detail=translated.detail)

    def _leave(self, step_state: bytes | None, timeout: float | None = None) -> None:
        """End as control asked, or silently when another attempt counts by now."""
        if self.channel.superseded:
            log.info("attempt %d of %s is superseded", self._spec.attempt, self._spec.job_id)
            return
        self._await_window_on_its_way(timeout)
        with self._ending:
            if self._ended:
                return
            if self.channel.reason is Stop.CANCEL:
                self._end(ReportKind.CANCELED)
            else:
                self._end(ReportKind.HANDED_BACK, step_saved=self._save_step(step_state))

    def _end(self, kind: ReportKind, **facts: Any) -> None:
        if not self._ended:
            self._ended = True
            self._report(kind, **facts)

    def _await_window_on_its_way(self, timeout: float | None) -> None:
        try:
            if self._publisher is not None:
                self._publisher.wait(timeout)
        except (StorageError, RenderStoppedError, TimeoutError):
            log.warning("a window of %s is given up: it could not be saved in time", self._spec.job_id)

    def _save_step(self, step_state: bytes | None) -> bool:
        """Save the state inside the next window; whether there is one and the store took it."""
        if self._step is None or self._step.window != self._windows_done:
            step_state = None  # It continues a window that could not be saved.
        try:
            step_state = step_state or self._inherited_step_state()
            if step_state is None:
                return False
            self._store.save(storage_keys.step_state(self._spec.prefix), step_state)
        except (StorageError, RenderStoppedError):
            log.warning("%s is handed back without its last steps: the store is away", self._spec.job_id)
            return False
        return True

    def _inherited_step_state(self) -> bytes | None:
        """What an earlier attempt left inside the same window: this one passes it on."""
        if self._windows_done > len(self._spec.resume.window_prefixes):
            return None
        return resume.step_state(self._spec, self._store)

    def _report(self, kind: ReportKind, **facts: Any) -> None:
        report = RenderReport(
            job_id=self._spec.job_id,
            attempt=self._spec.attempt,
            token=self._spec.token,
            kind=kind,
            windows_done=self._windows_done,
            **{"gpu_seconds": self._stages.total_seconds, **facts},
        )
        self._worker.outbox.put(report)

    def _receipt(self) -> dict[str, Any]:
        info, spec = self._worker.engine.info, self._spec
        steps = {"num_inference_steps": len(self._sampling.timesteps)} if info.denoises else {}
        return {
            "engine": info.engine,
            "device": info.device,
            "preset": spec.preset,
            "resolution": spec.resolution,
            **steps,
            "seed": spec.seed,
            "attempt": spec.attempt,
            "seconds": self._stages.seconds(),
            "quality": self._quality.findings() if self._quality else None,
            **info.details,
        }
