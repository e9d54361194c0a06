"""What the placement reckons with, against what the published sizes hold and move when they are traced."""

from dataclasses import replace

import pytest

from benchmarks.forward_trace import trace_forward
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
KINDS = {Precision.BF16: Kind.BF16, Precision.FP8: Kind.FP8_WEIGHTS}
TOLERANCE = 0.1


@pytest.mark.parametrize("speakers", [1, 2])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_forward_holds_and_moves_what_is_computed(size: VideoSize, speakers: int) -> None:
    agrees(ForwardCase(size, Kind.FP8_ACTIVATIONS, speakers), Setup(Precision.FP8_COMPUTE))


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.FP8])
def test_other_number_types_hold_and_move_what_is_computed(precision: Precision) -> None:
    agrees(ForwardCase(VideoSize(960, 960), KINDS[precision]), Setup(precision))


def test_so_does_a_window_of_distilled_weights() -> None:
    agrees(ForwardCase(VideoSize(448, 768, 33), Kind.FP8_ACTIVATIONS), Setup(Precision.FP8_COMPUTE))


def agrees(case: ForwardCase, setup: Setup) -> None:
    base = replace(case, lora=False)
    without = trace_forward(base)
    for lora, trace in ((True, trace_forward(case)), (False, without)):
        assert trace.activation_bytes == pytest.approx(activation_bytes(case.size, setup), rel=TOLERANCE)
        computed = forward_traffic(case.size, speakers=case.speakers, lora=lora, setup=setup)
        # Of a LoRA's narrow products the memory is the limit, too; the base model's are left out.
        narrow = trace.product_bytes - without.product_bytes
        assert trace.moved_bytes + narrow == pytest.approx(computed, rel=TOLERANCE)


# A few frames show what all of them take: every further one adds itself and its features.
@pytest.mark.parametrize("precision", VaePrecision)
@pytest.mark.parametrize("size", [VideoSize(size.height, size.width, 13) for size in SIZES[::2]], ids=str)
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
