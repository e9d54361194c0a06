"""Weights that are read in parallel are those that are in the file."""

import logging
import os
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from InfiniteTalk.checkpoints import parallel_reading
from InfiniteTalk.checkpoints.parallel_reading import read_tensors
from InfiniteTalk.checkpoints.weight_files import BrokenFileError, open_weights


@pytest.fixture
def file(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        f"{dtype}": torch.randn(37, 411, generator=generator).to(dtype)
        for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.int64)
    }
    tensors |= {"number": torch.tensor(3.5), "empty": torch.empty(0, 4)}
    save_file(tensors, tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


@pytest.fixture
def small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_reading, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(parallel_reading, "AHEAD_BYTES", 50_000)


@pytest.mark.usefixtures("small_requests")
def test_every_tensor_is_read_as_it_was_written(file: Path) -> None:
    with open_weights(file) as expected:
        read = dict(read_tensors(file))
        assert read.keys() == set(expected.names())
        for name, tensor in read.items():
            assert tensor.dtype == expected.tensor(name).dtype
            assert torch.equal(
                tensor.reshape(-1).view(torch.uint8), expected.tensor(name).reshape(-1).view(torch.uint8)
            ), name


@pytest.mark.usefixtures("small_requests")
def test_a_request_that_is_answered_in_parts_is_read_to_its_end(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = dict(read_tensors(file))
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, at: preadv(fd, [buffers[0][:300]], at))
    for name, tensor in read_tensors(file):
        assert torch.equal(tensor.reshape(-1).view(torch.uint8), whole[name].reshape(-1).view(torch.uint8))


@pytest.mark.usefixtures("small_requests")
def test_many_requests_are_in_flight_at_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preadv, arrived, enough = os.preadv, threading.Semaphore(0), threading.Event()

    def read(fd: int, buffers: list[memoryview], at: int) -> int:
        arrived.release()
        enough.wait(120)
        return preadv(fd, buffers, at)

    def await_sixteen() -> None:
        for _ in range(16):
            assert arrived.acquire(timeout=120)
        enough.set()

    monkeypatch.setattr(os, "preadv", read)
    watcher = threading.Thread(target=await_sixteen)
    watcher.start()
    assert len(dict(read_tensors(file))) == 7
    watcher.join()
    assert enough.is_set()


@pytest.mark.parametrize("kept", [4, 100, -1])
def test_a_file_that_is_cut_short_is_said_to_be(file: Path, kept: int) -> None:
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(BrokenFileError, match=r"weights\.safetensors is cut short"):
        dict(read_tensors(file))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" * 50, b"\x02" + bytes(7) + b"[]"])
def test_what_is_no_safetensors_file_is_said_to_be_none(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(BrokenFileError, match="no safetensors file"):
        dict(read_tensors(file))


def test_the_rate_is_reported(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        dict(read_tensors(file))
    assert "GB/s" in caplog.text


def test_a_reader_that_is_given_up_leaves_no_thread(file: Path) -> None:
    before = threading.active_count()
    tensors = read_tensors(file)
    next(tensors)
    tensors.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
