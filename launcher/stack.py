"""The whole of Avatar API on one machine: which processes, with which environment, in which order."""

import asyncio
import contextlib
import errno
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from avatar_api import child_process
from avatar_api.embedded import EmbeddedServerError, Postgres, Server, ServerInUseError, Valkey
from avatar_api.embedded.server import hold_lock
from launcher.environment import ROOT, VENV
from launcher.supervisor import Program, Sink, Supervisor, stop_leftovers
from launcher.terminal import Failure, step

STATE = ROOT / ".avatar"
DEMO_FILE = STATE / "demo.json"
FAVOURITE_PORT = 8000
# All that a render worker may know: how to reach Redis and the store, and how a process lives.
RENDER_WORKER_VARIABLES = frozenset(
    {"REDIS_URL", "STORAGE_DIR", "LOG_LEVEL", "LOG_STYLE", "SENTRY_DSN"}
    | {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "PYTHONUNBUFFERED"}
)
RENDER_WORKER_PREFIXES = ("R2_", "OMP_", "OTEL_")


@dataclass(frozen=True)
class DemoAccount:
    """What `manage.py seeddemo` writes."""

    organization: str
    api_key: str
    email: str
    password: str


@dataclass(frozen=True)
class Stack:
    """A running stack, as its users see it."""

    url: str
    demo: DemoAccount
    supervisor: Supervisor


@contextlib.asynccontextmanager
async def running(sink: Sink, port: int | None) -> AsyncIterator[Stack]:
    """Start everything, in order, and stop it in reverse order on leaving.

    Args:
        sink: takes what the processes write.
        port: where the web process listens; None for port 8000, or any other where that is taken.

    Raises:
        Failure: something can't be started.
    """
    with alone_in_this_clone() as journal, contextlib.ExitStack() as after_all_stopped:
        port, reservation = reserve_port(port)
        after_all_stopped.enter_context(reservation)
        servers = embedded_servers(os.environ)
        for server in servers:
            after_all_stopped.callback(server.release)
        environment = control_environment(servers)
        async with Supervisor(sink, journal) as supervisor:
            for server in servers:
                with step(f"start {server.name}"):
                    prepare(server)
                    await supervisor.start(server_program(server))
            with step("prepare the database"):
                await manage(environment, "migrate", "--verbosity", "0")
                await manage(environment, "seeddemo", str(DEMO_FILE))
            with step("start web, control workers and a render worker"):
                await supervisor.start(*programs(environment, port))
            yield Stack(f"http://127.0.0.1:{port}", read_demo_account(), supervisor)


@contextlib.contextmanager
def alone_in_this_clone() -> Iterator[Path]:
    """Keep a second stack of this clone from starting, and end what is left of one that was killed.

    Yields:
        Where the stack notes its processes.
    """
    STATE.mkdir(exist_ok=True)
    try:
        lock = hold_lock(STATE / "stack.lock")
    except ServerInUseError:
        raise Failure(
            "This clone is running already: use that one, or stop it with Ctrl-C in its terminal first."
        ) from None
    with lock:
        journal = STATE / "processes"
        stop_leftovers(journal, marker=str(VENV))
        yield journal


def prepare(server: Server) -> None:
    try:
        server.prepare()
    except EmbeddedServerError as error:
        raise Failure(str(error)) from error


def reserve_port(wanted: int | None) -> tuple[int, IO[str]]:
    """The port that was asked for; if none was, 8000 or else any that is free on loopback.

    Returns:
        The port, and a file that keeps other stacks from choosing it until it is closed.

    Raises:
        Failure: the port that was asked for is taken.
    """
    for port in (wanted,) if wanted else (FAVOURITE_PORT, *(any_port() for _ in range(9))):
        if lock := claim_port(port):
            return port, lock
    raise Failure(f"Port {wanted} is taken: choose another with PORT=…." if wanted else "No port is free.")


def claim_port(port: int) -> IO[str] | None:
    # A lock as well, because granian shares a port with whoever else is willing to (SO_REUSEPORT), and
    # two clones that start at once would both find it free.
    try:
        lock = hold_lock(Path(f"/tmp/avatar-port-{port}.lock"))  # noqa: S108  (a name, nothing is read)
    except (ServerInUseError, PermissionError):
        return None
    if is_free(port):
        return lock
    lock.close()
    return None


def any_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise Failure(f"Port {port} can't be used ({error.strerror}): choose another.") from error
            return False
    return True


def embedded_servers(environment: Mapping[str, str]) -> list[Server]:
    """Those servers for which the environment names no real one."""
    servers: list[Server] = []
    if not environment.get("DATABASE_URL"):
        servers.append(Postgres(STATE / "postgres"))
    if not environment.get("REDIS_URL"):
        servers.append(Valkey(STATE / "valkey"))
    return servers


def control_environment(servers: list[Server]) -> dict[str, str]:
    """What web and control workers get: ours, and the addresses of the embedded servers."""
    environment = {
        "DJANGO_SETTINGS_MODULE": "avatar_api.settings.local",
        "STORAGE_DIR": str(STATE / "store"),
        **os.environ,
        "PYTHONUNBUFFERED": "1",
    }
    for server in servers:
        environment["DATABASE_URL" if isinstance(server, Postgres) else "REDIS_URL"] = server.url
    return environment


def render_worker_environment(control: Mapping[str, str]) -> dict[str, str]:
    """Never the database's address: a render worker is trusted little, here as in production."""
    return {
        name: value
        for name, value in control.items()
        if name in RENDER_WORKER_VARIABLES or name.startswith(RENDER_WORKER_PREFIXES)
    }


def server_program(server: Server) -> Program:
    return Program(
        name=server.name,
        command=server.command,
        environment=server.environment,
        is_ready=server.is_ready,
        before_exec=server.before_exec,
        stop_signal=server.stop_signal,
    )


def programs(environment: Mapping[str, str], port: int) -> list[Program]:
    # Webhooks name it to others; the web process knows its own address from each request.
    url = environment.get("PUBLIC_URL") or f"http://127.0.0.1:{port}"
    manage_py = [sys.executable, "manage.py"]
    web = [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "avatar_api.asgi:application"),
        *("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--backpressure", "4096"),
        # One that is told to stop while it starts misses the signal, and granian would wait forever.
        *("--workers-kill-timeout", "3"),
    ]
    worker = [sys.executable, "-m", "gpu_worker.worker", "--queue", "render-cpu"]
    return [
        Program("web", web, environment, is_ready=lambda: is_served(port)),
        Program("reports", [*manage_py, "control_worker", "reports"], environment),
        Program("outbound", [*manage_py, "control_worker", "outbound"], {**environment, "PUBLIC_URL": url}),
        Program("speech-cpu", [*manage_py, "control_worker", "speech-cpu"], environment),
        Program("periodic", [*manage_py, "control_worker", "periodic"], environment),
        Program("render-cpu", worker, render_worker_environment(environment)),
    ]


def is_served(port: int) -> bool:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=1)) as connection:
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def read_demo_account() -> DemoAccount:
    return DemoAccount(**json.loads(DEMO_FILE.read_text()))


async def manage(environment: Mapping[str, str], *arguments: str) -> None:
    """Run a command of manage.py.

    Raises:
        Failure: it failed.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "manage.py",
        *arguments,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=child_process.die_with_parent(signal.SIGTERM),
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise Failure(
            f"{output.decode(errors='replace').strip()[-3000:]}\n"
            f"`manage.py {arguments[0]}` failed, saying the above: mend that and start again."
        )
