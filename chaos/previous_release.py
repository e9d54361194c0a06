"""`python -m chaos.previous_release FOLDER`: whether this release serves beside the one before it.

FOLDER is a checkout of the previous release; its packages are those of its `.venv`, or else ours. With
`--engine infinitetalk` a tiny checkpoint, prepared by the previous release, is rendered with instead of the
preview.

The database is migrated by this release, as in an upgrade, and each scenario has services of its own. It ends
with 1 when a job didn't come to its end as it should have.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from avatar_api.embedded import throwaway_services
from launcher import stack
from launcher.environment import ROOT
from launcher.terminal import Failure, say

SAMPLES = ROOT / "samples"
CONTROL_QUEUES = ("reports", "outbound", "periodic")
QUEUES = {"preview": "render-cpu", "infinitetalk": "render-gpu"}
SIZE = "64,96"
WAIT_SECONDS = 240.0
POLL_SECONDS = 0.2
# Runs in a process of its own, so that this one needs no database.
PREPARE = """
import django; django.setup()
from django.core.management import call_command; call_command("migrate", verbosity=0)
from accounts.models import Organization; from accounts.scopes import Scope
from accounts.services import mint_key
print(mint_key(organization=Organization.objects.create(name="Acme"), livemode={livemode}, name="upgrade",
    scopes=frozenset(Scope.values))[1])
"""


@dataclass(frozen=True)
class Release:
    """A checkout, and what runs it."""

    name: str
    root: Path

    @property
    def python(self) -> str:
        own = self.root / ".venv" / "bin" / "python"
        return str(own) if own.exists() else sys.executable

    def start(self, environment: dict[str, str], log: Path, *arguments: str) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                [self.python, *arguments], cwd=self.root, env=environment, stdout=output, stderr=output
            )


@dataclass
class Deployment:
    """Services, and the processes of either release beside them.

    Attributes:
        engine: What renders.
        environment: Of the control side.
        key: An API key whose jobs this engine renders.
        log: Where all processes write.
        url: Of the web process.
    """

    engine: str
    environment: dict[str, str]
    key: str
    log: Path
    url: str = ""
    _processes: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def serve(self, web: Release, control: Release) -> None:
        """Start web and control workers, and wait until the API answers."""
        port = stack.any_port()
        self.url = f"http://127.0.0.1:{port}"
        program = stack.programs(self.environment, port)[0]
        self._start(web, self.environment, *program.command[1:])
        for queue in CONTROL_QUEUES:
            self._start(control, self.environment, "manage.py", "control_worker", queue)
        wait_until(program.is_ready, "the API")

    @contextlib.contextmanager
    def render_worker(self, release: Release) -> Iterator[None]:
        """A render worker; leaving the block asks it to end, so that it hands back what it has."""
        variables = ("MODEL_STORAGE_PATH", "INFINITETALK_SIZE")
        environment = stack.render_worker_environment(self.environment) | {
            name: self.environment[name] for name in variables if name in self.environment
        }
        worker = self._start(release, environment, "-m", "gpu_worker.worker", "--queue", QUEUES[self.engine])
        try:
            yield
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(WAIT_SECONDS)

    def create(self, **metadata: str) -> str:
        """Order a job of the samples; its id."""
        with (SAMPLES / "portrait.png").open("rb") as image, (SAMPLES / "speech.wav").open("rb") as audio:
            response = self._request(
                "POST",
                "/v1/jobs",
                files={"image": image, "audio": audio},
                data={f"metadata[{name}]": value for name, value in metadata.items()},
            )
        return str(response["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        return self._request("GET", f"/v1/jobs/{job_id}")

    def until(self, job_id: str, condition: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            job = self.job(job_id)
            if job["status"] in ("failed", "canceled"):
                raise Failure(f"{job_id} is {job['status']}: {job['error']}")
            return job if condition(job) else None

        return wait_until(found, what)

    def until_succeeded(self, job_id: str) -> dict[str, Any]:
        return self.until(job_id, lambda job: job["status"] == "succeeded", f"the video of {job_id}")

    def _request(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}"}
        response = httpx.request(
            method, f"{self.url}{path}", headers=headers, timeout=60, trust_env=False, **body
        )
        if response.status_code >= 400:
            raise Failure(f"{method} {path} was answered with {response.status_code}: {response.text[:500]}")
        found: dict[str, Any] = response.json()
        return found

    def _start(
        self, release: Release, environment: dict[str, str], *arguments: str
    ) -> subprocess.Popen[bytes]:
        process = release.start(environment, self.log, *arguments)
        self._processes.callback(_end, process)
        return process

    def end(self) -> None:
        self._processes.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let a process end by itself, so that it ends its children; the web process has some."""
    process.terminate()
    try:
        process.wait(WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """The first true result of `condition`.

    Raises:
        Failure: There was none in time.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise Failure(f"waited {WAIT_SECONDS:.0f} s for {what}")
        time.sleep(POLL_SECONDS)
    return found


def has_begun_its_second_window(job: dict[str, Any]) -> bool:
    return bool(job["window"]["current"] >= 2)


def is_queued(job: dict[str, Any]) -> bool:
    return bool(job["status"] == "queued")


# --- What an upgrade may meet ---


def an_old_worker_comes_for_a_job_of_the_new_web(deployed: Deployment, old: Release, new: Release) -> None:
    """Nobody was there to say what it reads when the job was dispatched."""
    deployed.serve(new, new)
    job = deployed.create()
    with deployed.render_worker(old):
        deployed.until_succeeded(job)
        deployed.until_succeeded(deployed.create())


def a_new_worker_renders_for_the_old_web(deployed: Deployment, old: Release, new: Release) -> None:
    deployed.serve(old, old)
    job = deployed.create()
    with deployed.render_worker(new):
        deployed.until_succeeded(job)


def old_control_workers_stand_beside_the_new_web(deployed: Deployment, old: Release, new: Release) -> None:
    deployed.serve(new, old)
    with deployed.render_worker(old):
        deployed.until_succeeded(deployed.create())


def a_new_worker_finishes_what_an_old_one_began(deployed: Deployment, old: Release, new: Release) -> None:
    deployed.serve(new, new)
    with deployed.render_worker(old):
        job = deployed.create(simulate="slow")
        deployed.until(job, has_begun_its_second_window, "a window of the old worker")
    deployed.until(job, is_queued, "the hand-back of the old worker")
    with deployed.render_worker(new):
        deployed.until_succeeded(job)


def an_old_worker_finishes_what_a_new_one_began_for_the_old_web(
    deployed: Deployment, old: Release, new: Release
) -> None:
    """Workers were upgraded first, and are rolled back."""
    deployed.serve(old, old)
    with deployed.render_worker(new):
        job = deployed.create(simulate="slow")
        deployed.until(job, has_begun_its_second_window, "a window of the new worker")
    deployed.until(job, is_queued, "the hand-back of the new worker")
    with deployed.render_worker(old):
        deployed.until_succeeded(job)


def no_old_worker_is_given_what_only_a_new_one_can_finish(
    deployed: Deployment, old: Release, new: Release
) -> None:
    deployed.serve(new, new)
    with deployed.render_worker(new):
        job = deployed.create(simulate="slow")
        deployed.until(job, has_begun_its_second_window, "a window of the new worker")
    windows = deployed.until(job, is_queued, "the hand-back of the new worker")["window"]
    with deployed.render_worker(old):
        # The first thing that it does may be to refuse the one that was dispatched meanwhile.
        deployed.until_succeeded(deployed.create())
        kept = deployed.job(job)
        if (kept["status"], kept["window"]) != ("queued", windows):
            raise Failure(f"{job} didn't wait for a new worker: {kept['status']}, {kept['window']}")
        with deployed.render_worker(new):
            deployed.until_succeeded(job)


SCENARIOS = (
    an_old_worker_comes_for_a_job_of_the_new_web,
    a_new_worker_renders_for_the_old_web,
    old_control_workers_stand_beside_the_new_web,
    a_new_worker_finishes_what_an_old_one_began,
    an_old_worker_finishes_what_a_new_one_began_for_the_old_web,
    no_old_worker_is_given_what_only_a_new_one_can_finish,
)


@contextlib.contextmanager
def deployment(engine: str, folder: Path, new: Release, models: Path | None) -> Iterator[Deployment]:
    with throwaway_services(folder) as services:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("R2_", "STORAGE_"))},
            "DJANGO_SETTINGS_MODULE": "avatar_api.settings.local",
            "DATABASE_URL": services.database_url,
            "REDIS_URL": services.redis_url,
            "STORAGE_DIR": str(folder / "store"),
            "LIVE_ENGINE": engine,
            "LOG_LEVEL": "WARNING",
        }
        if models:
            environment |= {"MODEL_STORAGE_PATH": str(models), "INFINITETALK_SIZE": SIZE}
        command = [new.python, "-c", PREPARE.format(livemode=engine == "infinitetalk")]
        key = subprocess.run(
            command, cwd=new.root, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        deployed = Deployment(engine, environment, key.stdout.strip(), folder / "processes.log")
        try:
            yield deployed
        finally:
            deployed.end()


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos.previous_release", description=__doc__)
    parser.add_argument("folder", type=Path, help="a checkout of the previous release")
    parser.add_argument("--engine", choices=sorted(QUEUES), default="preview")
    options = parser.parse_args()
    old, new = Release("old", options.folder.resolve()), Release("new", ROOT)
    failures = 0
    with tempfile.TemporaryDirectory() as home:
        models = Path(home) / "models" if options.engine == "infinitetalk" else None
        if models:
            command = [old.python, "-m", "chaos.tiny_models", str(models)]
            subprocess.run(command, cwd=old.root, check=True)
            models /= "models"
        for scenario in SCENARIOS:
            folder = Path(home) / scenario.__name__
            folder.mkdir()
            sentence = scenario.__name__.replace("_", " ")
            began = time.monotonic()
            with deployment(options.engine, folder, new, models) as deployed:
                try:
                    scenario(deployed, old, new)
                    say(f"  ok      {sentence} ({time.monotonic() - began:.0f} s)")
                except Failure as failure:
                    failures += 1
                    say(f"  BROKEN  {sentence}: {failure}\n{deployed.log.read_text()[-4000:]}")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
