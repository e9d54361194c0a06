"""Running the transformer on a GPU that it does not fit into."""

import torch
from diffusers.hooks import apply_group_offloading

from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel


def keep_resident(
    transformer: InfiniteTalkTransformer3DModel,
    num_parameters: int,
    device: torch.device,
    *,
    use_stream: bool = False,
) -> int:
    """Keeps only the first blocks on the device and brings each later one there while it computes.

    Args:
        transformer: On the CPU.
        num_parameters: How many parameters of blocks stay on the device. All others outside blocks do.
        device: Where to compute.
        use_stream: Fetch a layer from pinned memory while the one before computes, as GPUs can.

    Returns:
        How many blocks stay.
    """
    resident, budget = 0, num_parameters
    for block in transformer.blocks:
        budget -= sum(parameter.numel() for parameter in block.parameters())
        if budget < 0:
            break
        resident += 1
    for block in transformer.blocks[resident:]:
        apply_group_offloading(
            block,
            onload_device=device,
            offload_type="leaf_level",
            use_stream=use_stream,
        )
    for name, module in transformer.named_children():
        if name != "blocks":
            module.to(device)
    for block in transformer.blocks[:resident]:
        block.to(device)
    transformer.scale_shift_table.data = transformer.scale_shift_table.data.to(device)
    return resident
