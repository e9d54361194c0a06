"""The command line under torchrun, on a CPU: two processes render what one does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from InfiniteTalk.generate_infinitetalk import main
from InfiniteTalk.parallel import ParallelismError, Ranks
from InfiniteTalk.sizes import BUCKETS, Size

from .test_command_line import ROOT, SMALL, checkpoint, write_input  # noqa: F401 - a fixture

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--local_addr=127.0.0.1"]
SCRIPT = str(ROOT / "InfiniteTalk" / "generate_infinitetalk.py")


def frames(path: Path) -> npt.NDArray[np.int64]:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


def test_two_processes_write_the_video_of_one(
    tiny_checkpoint: Path,
    write_input: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    request = [*SMALL.split(), *checkpoint(tiny_checkpoint), f"--input_json={write_input()}"]
    run = subprocess.run(
        [*TORCHRUN, SCRIPT, *request, "--ulysses_size=2", f"--save_file={tmp_path / 'two'}"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    )
    assert run.returncode == 0, run.stderr
    main([*request, f"--save_file={tmp_path / 'one'}"])

    assert run.stdout.count("5 frames, 0.20 s, seed 42") == 1
    one, two = frames(tmp_path / "one.mp4"), frames(tmp_path / "two.mp4")
    assert np.abs(one - two).max() <= 1
    assert (one != two).mean() < 1e-3


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("--ulysses_size 2", "start it with torchrun --nproc_per_node=2"),
        ("--ring_size 2", "give all processes to --ulysses_size"),
        ("--dit_fsdp", "each GPU holds the whole transformer"),
        ("--t5_fsdp", "each GPU encodes the prompt by itself"),
    ],
)
def test_what_several_gpus_cannot_do_is_refused_with_the_reason(
    write_input: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    mistake: str,
    message: str,
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*checkpoint(tmp_path), f"--input_json={write_input()}", *mistake.split()])

    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("processes", [2, 4, 8])
def test_every_size_of_a_job_can_be_shared(processes: int) -> None:
    for sizes in BUCKETS.values():
        for size in sizes.values():
            Ranks(size=processes).check_size(size, num_frames=81)


def test_tokens_that_cannot_be_shared_equally_are_refused() -> None:
    with pytest.raises(ParallelismError, match="the 21 tokens of a window of 16x16"):
        Ranks(size=2).check_size(Size(16, 16), num_frames=81)
