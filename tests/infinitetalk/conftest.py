"""A tiny checkpoint as it is downloaded, and what conversion makes of it, written once for all tests."""

from pathlib import Path

import pytest
import torch

from InfiniteTalk.checkpoints.conversion import convert
from InfiniteTalk.checkpoints.lora_files import named_by_file
from InfiniteTalk.checkpoints.original_checkpoint import OriginalCheckpoint
from InfiniteTalk.checkpoints.precision import Precision
from InfiniteTalk.tiny import write_tiny_checkpoint

LIGHTX2V = "lightx2v_I2V_14B_480p_cfg_step_distill_rank64_bf16"
FUSIONX = "Wan2.1_I2V_14B_FusionX_LoRA"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tensors this small are computed ten times faster by one thread on a machine with other work."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The downloads, tiny and random. Read only: copy what a test changes."""
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny_checkpoint(directory)
    return directory


@pytest.fixture(scope="session")
def tiny_original(tiny_checkpoint: Path) -> OriginalCheckpoint:
    """Where the tiny downloads are."""
    return OriginalCheckpoint.below(
        tiny_checkpoint, named_by_file(sorted((tiny_checkpoint / "lora").iterdir()))
    )


@pytest.fixture(scope="session")
def prepared_bf16(tiny_original: OriginalCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint, prepared in bfloat16."""
    directory = tmp_path_factory.mktemp("bf16")
    convert(tiny_original, directory, Precision.BF16)
    return directory


@pytest.fixture(scope="session")
def prepared_fp8(tiny_original: OriginalCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint, prepared in float8."""
    directory = tmp_path_factory.mktemp("fp8")
    convert(tiny_original, directory, Precision.FP8)
    return directory
