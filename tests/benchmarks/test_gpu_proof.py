"""The proof on a GPU, in its short form on the CPU."""

from pathlib import Path

import pytest
import torch

from benchmarks.gpu import proof, results, table
from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.profile import kind_of
from benchmarks.gpu.results import Failure, Measurement, PartResult, Proof
from benchmarks.gpu.setting import Setting


@pytest.mark.parametrize("number", PARTS)
def test_a_part_comes_to_its_end_and_writes_its_figures(number: int, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    path = tmp_path / "cpu.json"
    results.write(Proof("cpu", proof.machine()), path)
    proof.run_parts([number], path, torch.device("cpu"))

    written = results.read_proofs(tmp_path)["cpu"]
    assert written.parts[number].complete
    assert written.parts[number].measurements
    assert not written.parts[number].failures
    assert f"## {number}. {PARTS[number].title}" in path.with_suffix(".md").read_text()


def test_an_interrupted_proof_goes_on_with_the_parts_that_are_left() -> None:
    parts = {number: PartResult("done", complete=number != 3) for number in (1, 2, 3)}

    assert proof.wanted("", Proof("gpu", {}, parts)) == [3, 4, 5, 6, 7, 8]
    assert proof.wanted("2", Proof("gpu", {}, parts)) == [2]


def test_a_figure_is_found_by_its_conditions(tmp_path: Path) -> None:
    rows = tuple(
        Measurement("forward", value, "s", {"lora": value > 1, "size": "480p"}) for value in (1.0, 2.0)
    )
    part = PartResult("forwards", True, 3.0, rows, (Failure("forward", "OutOfMemoryError: full | no"),))
    results.write(Proof("NVIDIA L40S", {}).with_part(3, part), tmp_path / results.file_name("NVIDIA L40S"))

    read = results.read(tmp_path / "nvidia-l40s.json")
    assert read.parts == {3: part}
    assert read.find("forward", lora=True) == 2.0
    assert read.find("forward", lora=False, size="480p") == 1.0
    assert read.find("forward", size="720p") is None
    assert "| forward |  | failed: OutOfMemoryError: full / no |" in table.markdown(read)


def test_on_a_cpu_an_error_is_raised() -> None:
    setting = Setting(torch.device("cpu"), lambda measurement: None, lambda failure: None)
    with pytest.raises(ZeroDivisionError), setting.attempt("forward"):
        raise ZeroDivisionError


def test_without_a_gpu_the_proof_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert proof.main(tmp_path) == proof.EX_UNAVAILABLE
    assert "there is no NVIDIA GPU here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("void flash_fwd_kernel<Flash_fwd_kernel_traits<128>>", "attention"),
        ("nvjet_hsh_128x256_64x4_2x1_v_bz_coopA_NNT", "matrix products"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32", "matrix products"),
        ("triton_red_fused__to_copy_abs_amax_clamp_0", "quantisation"),
        ("void at::native::vectorized_elementwise_kernel<4>", "rest"),
    ],
)
def test_a_kernel_is_counted_by_its_name(kernel: str, kind: str) -> None:
    assert kind_of(kernel) == kind
