"""The control side as a render worker sees it: specs into a queue, reports out of another."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage
from PIL import Image
from redis import Redis
from rq import Queue, Worker

from gpu_worker.common.scratch import Scratch
from gpu_worker.contract import coordination, storage_keys
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.lanes import lane_of
from gpu_worker.contract.presets import PresetName, Resolution
from gpu_worker.contract.queues import RENDER_FUNCTION, render_job_id, render_queue, report_queue
from gpu_worker.contract.spec import (
    ReferenceKind,
    RenderReport,
    RenderSpec,
    ReportKind,
    Resume,
    SpeakingOrder,
    StoredFile,
)
from gpu_worker.runtime.context import WorkerContext, install
from gpu_worker.runtime.report_outbox import Outbox
from gpu_worker.runtime.rq_worker import connect
from tests.gpu_worker.painted_engine import PaintedEngine, read_back
from tests.media_samples import tone, write_sound

DEADLINE_SECONDS = 240.0
"""Beyond what anything takes on a machine that is busy with other work."""
TOKEN = "the-token-of-this-attempt"
JOB = "job_1"


def wait_until(
    condition: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS, pause: float = 0.01
) -> Any:
    """The first true answer of `condition`; a test that waits longer has failed."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(pause)
    return answer


class Control:
    """Sends attempts at one job and reads what comes of them."""

    def __init__(self, redis_url: str, folder: Path, engine: EngineName = EngineName.PREVIEW) -> None:
        self.redis_url = redis_url
        self.engine = engine
        self.redis = Redis.from_url(redis_url)
        self.folder = folder
        self.gates = folder / "gates"
        self.gates.mkdir(parents=True)
        self.storage: Storage = FileSystemStorage(folder / "store", allow_overwrite=True)

    @property
    def queue(self) -> Queue:
        return render_queue(lane_of(self.engine, PresetName.FAST), self.redis)

    def spec(self, attempt: int = 1, *, seconds: float = 6.0, **changes: Any) -> RenderSpec:
        """A job of `seconds` (6 s are two windows), its inputs stored."""
        speech = write_sound(self.folder / "speech.flac", tone(220, seconds))
        spec = RenderSpec(
            job_id=JOB,
            attempt=attempt,
            token=TOKEN,
            engine=self.engine,
            reference=self.store_input("reference.png", self._portrait()),
            reference_kind=ReferenceKind.IMAGE,
            speech=(self.store_input("speech-1.flac", speech.read_bytes()),),
            speaking_order=SpeakingOrder.TOGETHER,
            speaker_boxes=(),
            prompt="a prompt",
            negative_prompt="",
            resolution=Resolution.P480,
            preset=PresetName.FAST,
            seed=7,
            num_frames=round(seconds * 25),
            prefix=storage_keys.attempt_prefix("org_1", JOB, attempt),
        )
        return replace(spec, **changes)

    def send(self, spec: RenderSpec) -> RenderSpec:
        coordination.announce_attempt(self.redis, spec.job_id, spec.attempt)
        rq_id = render_job_id(spec.job_id, spec.attempt)
        self.queue.enqueue(
            RENDER_FUNCTION,
            args=(spec.to_dict(),),
            job_id=rq_id,
            description=rq_id,
            job_timeout=-1,
            result_ttl=0,
            failure_ttl=60,
        )
        return spec

    def next_attempt(self, spec: RenderSpec, *, windows: int, step: bool) -> RenderSpec:
        """What control sends after `spec` was lost or handed back with `windows` finished."""
        resume = replace(self.after(spec, windows=windows), step_prefix=spec.prefix if step else None)
        return self.spec(spec.attempt + 1, seconds=spec.num_frames / 25, resume=resume)

    def after(self, spec: RenderSpec, *, windows: int) -> Resume:
        """Where the attempt after `spec` goes on, once `windows` are finished."""
        before = spec.resume.window_prefixes
        return Resume(before + (spec.prefix,) * (windows - len(before)))

    def reports(self) -> list[RenderReport]:
        return [RenderReport.from_dict(job.args[0]) for job in report_queue(self.redis).get_jobs()]

    def wait_for(self, kind: ReportKind) -> RenderReport:
        found = wait_until(lambda: [r for r in self.reports() if r.kind is kind], f"the report {kind}")
        return found[-1]

    def stored(self) -> list[str]:
        """The keys of everything in the store."""
        root = self.folder / "store"
        return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]

    def read(self, key: str) -> bytes:
        with self.storage.open(key) as file:
            return bytes(file.read())

    def forget_reports(self) -> None:
        report_queue(self.redis).empty()

    def workers(self) -> int:
        return Worker.count(queue=self.queue)

    def hold(self, window: int, step: int) -> None:
        """Let the engine wait inside this step, the next time that it comes there."""
        (self.gates / f"at-{window}-{step}").unlink(missing_ok=True)
        (self.gates / f"hold-{window}-{step}").touch()

    def release(self, window: int, step: int) -> None:
        (self.gates / f"hold-{window}-{step}").unlink()

    def wait_at(self, window: int, step: int) -> None:
        wait_until((self.gates / f"at-{window}-{step}").exists, f"step {step} of window {window}")

    def visits(self) -> list[tuple[int, int]]:
        """The steps that an engine came to, as (window, step)."""
        marks = [mark.name.split("-") for mark in self.gates.glob("at-*")]
        return sorted((int(window), int(step)) for _, window, step in marks)

    def forget_visits(self) -> None:
        for mark in self.gates.glob("at-*"):
            mark.unlink()

    def decoded(self, spec: RenderSpec) -> npt.NDArray[np.uint8]:
        """The frames of the finished video, RGB."""
        with av.open(io.BytesIO(self.read(spec.output_key))) as container:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])

    def frames(self, spec: RenderSpec) -> list[tuple[int, int]]:
        """Ink and number of each frame of the finished video."""
        return [read_back(frame) for frame in self.decoded(spec)]

    def _portrait(self) -> bytes:
        file = io.BytesIO()
        Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(file, "PNG")
        return file.getvalue()

    def store_input(self, name: str, content: bytes) -> StoredFile:
        key = storage_keys.input_file(storage_keys.inputs_prefix("org_1", JOB), name)
        self.storage.save(key, ContentFile(content))
        return StoredFile(key, hashlib.sha256(content).hexdigest(), len(content))


class WorkerProcess:
    """A render worker in a process of its own, with the environment that it gets in life."""

    def __init__(
        self,
        control: Control,
        *arguments: str,
        module: str = "tests.gpu_worker.painted_worker",
        pass_fds: Sequence[int] = (),
        redis_url: str | None = None,
        **environment: str,
    ) -> None:
        self.log_path = control.folder / f"worker-{time.monotonic_ns()}.log"
        self.temporary = control.folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        environment |= {
            "PATH": os.environ["PATH"],
            "REDIS_URL": redis_url or control.redis_url,
            "STORAGE_DIR": str(control.folder / "store"),
            "TMPDIR": str(self.temporary),
            "PAINTED_GATES": str(control.gates),
            "LOG_LEVEL": "DEBUG",
        }
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=environment,
                cwd=Path(__file__).parents[2],
                stdout=log,
                stderr=log,
                pass_fds=pass_fds,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    @property
    def scratch_files(self) -> Sequence[Path]:
        return [path for path in self.temporary.rglob("*") if path.is_file()]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float = DEADLINE_SECONDS) -> int:
        """The exit status."""
        return self._process.wait(seconds)

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@contextmanager
def host_here(control: Control) -> Iterator[WorkerContext]:
    """A render worker in this process, for tests that look inside."""
    redis = connect(control.redis_url)
    host = WorkerContext(
        name="worker-1",
        engine_name=EngineName.PREVIEW,
        engine=PaintedEngine(control.gates),
        redis=redis,
        storage=control.storage,
        outbox=Outbox(redis),
        scratch=Scratch("worker", control.folder / "scratch"),
    )
    install(host)
    yield host
    host.outbox.flush(DEADLINE_SECONDS)
    assert not list((control.folder / "scratch").rglob("*.mp4")), "a scratch folder was left behind"
    host.scratch.close()
    redis.close()
