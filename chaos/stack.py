"""The stack of a run: every process, with the environment that it has in life."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from avatar_api.embedded import Postgres, Server, Valkey
from chaos.plan import CONTROL_WORKERS, RENDER_WORKERS
from chaos.processes import Process
from chaos.receiver import Receiver
from chaos.store_proxy import StoreProxy
from launcher import stack
from launcher.supervisor import Program

BUCKET = "chaos"
SIZE = "64,96"
SECRET = "the-secret-of-the-store"  # noqa: S105
STORE_KEY = "chaos"
STOP_SECONDS = 15.0


@dataclass(frozen=True)
class Hurry:
    """Shorter times of waiting for the short run, in seconds; the long run has those of production."""

    lease: int
    round: int

    @property
    def options(self) -> list[str]:
        return ["--lease", str(self.lease), "--round", str(self.round)]


@dataclass(frozen=True)
class Ports:
    web: int
    store: int
    proxy: int
    receiver: int


class Stack:
    """All that runs, below one folder.

    Attributes:
        processes: The programs by name.
        environment: What the control side gets.
    """

    def __init__(self, folder: Path, hurry: Hurry | None) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True)
        ports = Ports(*(stack.any_port() for _ in range(4)))
        self.postgres = Postgres(folder / "postgres")
        self.valkey = Valkey(folder / "valkey")
        self.proxy = StoreProxy(ports.proxy, ports.store)
        self.receiver = Receiver(ports.receiver)
        self.url = f"http://127.0.0.1:{ports.web}"
        self.environment = self._control_environment(ports)
        self.processes = {
            program.name: Process(program, self.logs / f"{program.name}.log")
            for program in self._programs(ports, hurry)
        }

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Start everything and wait until it serves; at the end whatever still runs is ended."""
        servers: list[Server] = [self.postgres, self.valkey]
        try:
            for server in servers:
                server.prepare()
                self._start(server.name)
            self._start("store")
            self.proxy.start()
            self.receiver.start()
            self._prepare_models()
            yield
        finally:
            self.end()
            for server in servers:
                server.release()

    def start_ours(self) -> None:
        """Start web, control and render workers, side by side; the database is there."""
        names = ("web", *CONTROL_WORKERS, *RENDER_WORKERS)
        for name in names:
            self.processes[name].start()
        for name in names:
            self.processes[name].until_ready()

    def keep(self) -> None:
        for process in self.processes.values():
            process.keep()

    def end_ours(self) -> None:
        """End politely what is ours, and leave the servers."""
        self._end([*RENDER_WORKERS, *CONTROL_WORKERS, "web"])

    def end(self) -> None:
        self.end_ours()
        self._end(["store", "valkey", "postgres"])

    def _end(self, names: list[str]) -> None:
        processes = [self.processes[name] for name in names]
        for process in processes:
            process.wanted = False
            if process.runs:
                process.send(signal.SIGCONT)
                process.send(process.program.stop_signal)
        for process in processes:
            process.end(process.program.stop_signal, STOP_SECONDS)

    def temporary(self, name: str) -> Path:
        """Where a process keeps its passing files."""
        return self.folder / "tmp" / name

    def clock(self, name: str) -> Path:
        """The file that says by how many seconds the clock of a worker is off."""
        return self.folder / "clocks" / name

    def wipe_redis(self) -> None:
        """Remove what Valkey has on disk, while it doesn't run."""
        shutil.rmtree(self.valkey.data_dir)
        self.valkey.data_dir.mkdir()

    def restart(self, name: str) -> None:
        process = self.processes[name]
        process.start()
        process.until_ready()
        process.wanted = True

    def _prepare_models(self) -> None:
        """In a process of its own: this one needs no torch."""
        command = [sys.executable, "-m", "chaos.tiny_models", str(self.folder / "models")]
        with (self.logs / "models.log").open("wb") as log:
            subprocess.run(command, env=self.environment, stdout=log, stderr=log, check=True)

    def _start(self, name: str) -> None:
        self.processes[name].start()
        self.processes[name].until_ready()

    def _control_environment(self, ports: Ports) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("R2_", "STORAGE_"))},
            "DJANGO_SETTINGS_MODULE": "avatar_api.settings.local",
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
            "R2_BUCKET": BUCKET,
            "R2_ENDPOINT_URL": f"http://127.0.0.1:{ports.proxy}",
            "R2_ACCESS_KEY_ID": STORE_KEY,
            "R2_SECRET_ACCESS_KEY": SECRET,
            "PUBLIC_URL": self.url,
            "OUTBOUND_ALLOW_PRIVATE": "1",
            "LIVE_ENGINE": "infinitetalk",
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def _programs(self, ports: Ports, hurry: Hurry | None) -> Iterator[Program]:
        for server in (self.postgres, self.valkey):
            yield stack.server_program(server)
        yield self._store(ports)
        web = next(
            program for program in stack.programs(self.environment, ports.web) if program.name == "web"
        )
        yield replace(web, environment=self._with_own_folder(web.name, self.environment))
        for name in CONTROL_WORKERS:
            yield self._worker(name, ["control_worker", name.partition("-")[0]], self.environment, hurry)
        render = stack.render_worker_environment(self.environment) | {
            "MODEL_STORAGE_PATH": str(self.folder / "models" / "models"),
            "INFINITETALK_SIZE": SIZE,
        }
        for name in RENDER_WORKERS:
            queue = "render-gpu" if name == "render-gpu" else "render-cpu"
            yield self._worker(name, ["gpu_worker.worker", "--queue", queue], render, hurry)

    def _store(self, ports: Ports) -> Program:
        folder = self.folder / "store"
        (folder / BUCKET).mkdir(parents=True)
        return Program(
            "store",
            [sys.executable, "-m", "tests.gpu_worker.s3_server", str(ports.store)],
            {
                "PATH": os.environ["PATH"],
                "NANIO_ACCESS_KEY": STORE_KEY,
                "NANIO_SECRET_KEY": SECRET,
                "NANIO_DATA_DIR": str(folder),
                "NANIO_REGION": "auto",
            },
            is_ready=lambda: not stack.is_free(ports.store),
        )

    def _worker(
        self, name: str, arguments: list[str], environment: Mapping[str, str], hurry: Hurry | None
    ) -> Program:
        clock = self.clock(name)
        clock.parent.mkdir(exist_ok=True)
        clock.write_text("0")
        options = ["--clock", str(clock), *(hurry.options if hurry else [])]
        command = [sys.executable, "-m", "chaos.child", *options, *arguments]
        return Program(name, command, self._with_own_folder(name, environment))

    def _with_own_folder(self, name: str, environment: Mapping[str, str]) -> dict[str, str]:
        folder = self.temporary(name)
        folder.mkdir(parents=True)
        return {**environment, "TMPDIR": str(folder)}
