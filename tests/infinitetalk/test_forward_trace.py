"""The trace counts by hand-countable rules, and its extrapolation over blocks is exact."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from benchmarks.forward_trace import trace_blocks
from benchmarks.tracing.published import ForwardCase
from benchmarks.tracing.tracker import Tracker
from gpu_worker.contract.operations import VideoSize

MEGABYTE = 10**6


def megabyte() -> torch.Tensor:
    return torch.empty(MEGABYTE // 4, device="meta")


def test_the_peak_is_what_is_held_at_once() -> None:
    source = megabyte()
    with Tracker() as tracker:
        total = source + 1
        for _ in range(3):
            total = total + 1

    assert tracker.trace.peak_bytes == 2 * MEGABYTE


def test_a_kernel_moves_what_it_reads_and_writes_and_a_view_moves_nothing() -> None:
    left, right = megabyte(), megabyte()
    with Tracker() as tracker:
        left.view(-1, 2).t()
        torch.empty_like(left)
        left.add_(right)
        left.copy_(right)
        left + right[:1].expand_as(right)

    assert tracker.trace.kernels == 3
    assert tracker.trace.moved_bytes == (3 + 2 + 2) * MEGABYTE + 4


def test_products_and_attention_are_kernels_whose_bytes_are_counted_apart() -> None:
    heads = torch.empty(1, 2, 100, 8, dtype=torch.bfloat16, device="meta")
    with torch.no_grad(), Tracker() as tracker:
        heads[0, 0] @ heads[0, 1].t()
        F.scaled_dot_product_attention(heads, heads, heads)

    assert tracker.trace.kernels == 2
    assert tracker.trace.moved_bytes == 0
    assert tracker.trace.product_bytes > 0


@pytest.mark.parametrize("lora", [False, True])
def test_further_blocks_move_what_the_second_one_moves(lora: bool) -> None:
    case = ForwardCase(VideoSize(64, 96), lora=lora)
    one, two, three = (trace_blocks(case, blocks) for blocks in (1, 2, 3))

    assert three.moved_bytes - two.moved_bytes == two.moved_bytes - one.moved_bytes
    assert three.kernels - two.kernels == two.kernels - one.kernels
    assert three.peak_bytes == two.peak_bytes
