"""Whatever a file does to the process that decodes it, the answer is a documented error and nothing stays."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from jobs.intake import normalize, sandbox
from jobs.intake.normalize import IntakeError, IntakeLimits
from jobs.intake.probes.base import Bounds, MediaKind, bounds_of
from jobs.intake.sandbox import SandboxError
from tests.jobs.taking_in import LIMITS, accepted
from tests.media_samples import portrait, tone, write_sound

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
BOUNDS = bounds_of(MediaKind.IMAGE, LIMITS)
SECONDS = 240
"""Beyond what a process takes to start or to end on a busy machine."""


def outcome(source: Path, kind: MediaKind = MediaKind.IMAGE, bounds: Bounds = BOUNDS) -> str:
    """The code with which a probe of `source` under `bounds` ends."""
    with pytest.raises(IntakeError) as caught:
        sandbox.run_probe(kind, source, source.with_name("copy"), LIMITS, bounds)
    return caught.value.code


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A file whose reading never ends: a pipe into which nobody writes."""
    os.mkfifo(tmp_path / "endless")
    return tmp_path / "endless"


@pytest.fixture
def busy_probe(tmp_path: Path, endless: Path) -> Iterator[int]:
    """The id of a process that is in the middle of a probe, which must end as an unreadable picture."""
    result: list[str] = []
    thread = threading.Thread(target=lambda: result.append(outcome(endless)))
    thread.start()
    deadline = time.monotonic() + SECONDS
    while not (found := [pid for pid in processes() if working_directory(pid) == tmp_path]):
        assert time.monotonic() < deadline, "no probe started"
        time.sleep(0.01)
    yield found[0]
    with suppress(ProcessLookupError):
        os.kill(found[0], signal.SIGKILL)
    thread.join(SECONDS)
    assert result == ["image_unreadable"]


def processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def runs(process: Path) -> bool:
    """Whether the process of this folder in /proc is there and no zombie."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def working_directory(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


@linux_only
def test_the_process_that_decodes_knows_no_secret(busy_probe: int) -> None:
    environment = Path(f"/proc/{busy_probe}/environ").read_bytes().split(b"\0")

    assert environment == [b"OPENBLAS_NUM_THREADS=1", b""]


@linux_only
def test_the_process_that_decodes_has_hard_limits(busy_probe: int) -> None:
    lines = Path(f"/proc/{busy_probe}/limits").read_text().splitlines()[1:]
    limits = {line[:25].strip(): line[25:].split()[:2] for line in lines}

    assert limits["Max address space"] == [str(BOUNDS.memory_bytes)] * 2
    assert limits["Max cpu time"] == [str(BOUNDS.cpu_seconds)] * 2
    assert limits["Max file size"] == [str(BOUNDS.file_bytes)] * 2
    assert limits["Max open files"] == [str(BOUNDS.open_files)] * 2
    assert limits["Max core file size"] == ["0", "0"]
    assert 0 < int(limits["Max processes"][1]) <= BOUNDS.tasks


@linux_only
def test_the_process_that_decodes_holds_no_file_of_ours(busy_probe: int) -> None:
    opened = {str(entry.readlink()) for entry in Path(f"/proc/{busy_probe}/fd").iterdir()}

    assert {name for name in opened if not name.startswith(("/dev/null", "socket:"))} == set()


@linux_only
def test_a_decoder_that_crashes_means_an_unreadable_file(busy_probe: int) -> None:
    os.kill(busy_probe, signal.SIGSEGV)


def test_a_decoder_that_hangs_is_ended(endless: Path) -> None:
    code = outcome(endless, bounds=Bounds(cpu_seconds=20, wall_seconds=0.3, file_bytes=2**26))

    assert code == "image_unreadable"


def test_a_decoder_that_counts_forever_is_ended(tmp_path: Path) -> None:
    """Ten hours of speech would take more than the second of processor time that is given here."""
    samples = tone(300, 60, rate=8_000)
    speech = write_sound(tmp_path / "speech.mp3", samples, rate=8_000, codec="libmp3lame")
    (tmp_path / "upload").write_bytes(speech.read_bytes() * 600)
    bounds = Bounds(cpu_seconds=1, wall_seconds=60, file_bytes=2**40)

    with pytest.raises(IntakeError) as caught:
        sandbox.run_probe(
            MediaKind.SPEECH,
            tmp_path / "upload",
            tmp_path / "copy",
            IntakeLimits(max_speech_seconds=10**6),
            bounds,
        )
    assert caught.value.code == "audio_unreadable"


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS limits no memory")
def test_a_decoder_that_takes_too_much_memory_is_ended(tmp_path: Path) -> None:
    Image.new("RGB", (6000, 6000)).save(tmp_path / "upload", "PNG")
    bounds = Bounds(cpu_seconds=20, wall_seconds=20, file_bytes=2**26, memory_bytes=300 * 2**20)

    assert outcome(tmp_path / "upload", bounds=bounds) == "image_unreadable"


def test_a_decoder_that_writes_too_much_is_ended(tmp_path: Path) -> None:
    upload = write_sound(tmp_path / "upload.wav", tone(300, 2), codec="pcm_s16le")
    bounds = Bounds(cpu_seconds=20, wall_seconds=20, file_bytes=4096)

    assert outcome(upload, MediaKind.SPEECH, bounds) == "audio_unreadable"


@linux_only
def test_a_full_disk_is_not_the_fault_of_the_file(tmp_path: Path) -> None:
    portrait().save(tmp_path / "upload", "PNG")

    with pytest.raises(SandboxError):
        sandbox.run_probe(MediaKind.IMAGE, tmp_path / "upload", Path("/dev/full"), LIMITS, BOUNDS)


def test_a_server_that_was_lost_is_started_again(tmp_path: Path) -> None:
    portrait().save(tmp_path / "upload", "PNG")
    sandbox.run_probe(MediaKind.IMAGE, tmp_path / "upload", tmp_path / "first", LIMITS, BOUNDS)

    assert sandbox._server
    sandbox._server._process.kill()
    sandbox._server._process.wait()

    assert accepted(normalize.probe_image, tmp_path / "upload").width == 320


@linux_only
def test_the_server_ends_with_its_owner_even_when_that_is_killed(tmp_path: Path) -> None:
    portrait().save(tmp_path / "upload", "PNG")
    owner_code = (
        "import os, sys; from pathlib import Path; from jobs.intake import normalize, sandbox; "
        "normalize.probe_image(Path('upload').resolve(), normalize.IntakeLimits(60), Path.cwd()); "
        "print(sandbox._server._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    environment = {"PYTHONPATH": str(sandbox.ROOT)}
    owner = subprocess.run(
        [sys.executable, "-c", owner_code], cwd=tmp_path, env=environment, stdout=subprocess.PIPE
    )

    assert owner.returncode == -signal.SIGKILL
    server = Path("/proc") / owner.stdout.decode().strip()
    deadline = time.monotonic() + SECONDS
    while runs(server):
        assert time.monotonic() < deadline, "the server outlives its owner"
        time.sleep(0.01)


def test_many_files_are_probed_at_once(tmp_path: Path) -> None:
    def probe(index: int) -> int | None:
        folder = tmp_path / str(index)
        folder.mkdir()
        portrait(200 + index, 200).save(folder / "upload", "PNG")
        return accepted(normalize.probe_image, folder / "upload").width

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(probe, range(24))) == [200 + index for index in range(24)]
