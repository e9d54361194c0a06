"""What the placement reckons with, against what the published sizes hold and move when they are traced."""

from functools import cache

import pytest

from benchmarks.forward_trace import ForwardTrace, trace_forward
from benchmarks.tracing.published import ForwardCase, Kind
from benchmarks.vae_trace import trace_decoding, trace_encoding
from gpu_worker.contract.gpu_memory import (
    LORA_BYTES,
    activation_bytes,
    other_model_bytes,
    transformer_bytes,
    vae_bytes,
    working_bytes,
)
from gpu_worker.contract.operations import VideoSize
from gpu_worker.contract.setups import Precision, Setup, VaePrecision
from gpu_worker.contract.traffic import forward_traffic, vae_decode_traffic, vae_encode_traffic

SIZES = [VideoSize(640, 640), VideoSize(960, 960), VideoSize(1920, 512)]
KINDS = {
    Precision.BF16: Kind.BF16,
    Precision.FP8: Kind.FP8_WEIGHTS,
    Precision.FP8_COMPUTE: Kind.FP8_ACTIVATIONS,
}
TOLERANCE = 0.1

traced = cache(trace_forward)


def memory_bound_bytes(case: ForwardCase) -> float:
    """Traffic beside the base model's products: of a LoRA's narrow ones the memory is the limit, too."""
    trace: ForwardTrace = traced(case)
    base = traced(ForwardCase(case.size, case.kind, case.speakers, lora=False))
    return trace.moved_bytes + trace.product_bytes - base.product_bytes


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("speakers", [1, 2])
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_forward_holds_and_moves_what_is_computed(
    size: VideoSize, precision: Precision, speakers: int, lora: bool
) -> None:
    case, setup = ForwardCase(size, KINDS[precision], speakers, lora), Setup(precision)

    assert traced(case).activation_bytes == pytest.approx(activation_bytes(size, setup), rel=TOLERANCE)
    computed = forward_traffic(size, speakers=speakers, lora=lora, setup=setup)
    assert memory_bound_bytes(case) == pytest.approx(computed, rel=TOLERANCE)


# A few frames show what all of them take: every further one adds itself and its features.
@pytest.mark.parametrize("precision", VaePrecision)
@pytest.mark.parametrize("size", [VideoSize(size.height, size.width, 13) for size in SIZES], ids=str)
def test_the_vae_holds_and_moves_what_is_computed(size: VideoSize, precision: VaePrecision) -> None:
    decoding, encoding = trace_decoding(size, precision), trace_encoding(size, precision)

    peak = max(decoding.peak_bytes, encoding.peak_bytes)
    assert peak == pytest.approx(vae_bytes(size, precision), rel=TOLERANCE)
    assert decoding.moved_bytes == pytest.approx(vae_decode_traffic(size, precision), rel=TOLERANCE)
    assert encoding.moved_bytes == pytest.approx(vae_encode_traffic(size, precision), rel=TOLERANCE)


@pytest.mark.parametrize("speakers", [1, 2])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_window_fits_into_forty_gigabytes_beside_the_transformer(size: VideoSize, speakers: int) -> None:
    models = transformer_bytes(Precision.FP8) + other_model_bytes() + LORA_BYTES

    assert models + working_bytes(size, speakers=speakers) <= 40e9
