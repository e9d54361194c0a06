"""Loads the models that the arguments name, with LoRAs, offloading and caching as ordered."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers.hooks import apply_group_offloading

from InfiniteTalk.caching import TeaCacheConfig, enable_tea_cache
from InfiniteTalk.checkpoints.loading import load_components
from InfiniteTalk.checkpoints.lora_files import named_by_file
from InfiniteTalk.checkpoints.offloading import keep_resident
from InfiniteTalk.checkpoints.options import CheckpointPaths, LoadOptions
from InfiniteTalk.checkpoints.original_checkpoint import Speakers
from InfiniteTalk.command_line.arguments import FLASHTALK, size_class, steps_of
from InfiniteTalk.parallel import Ranks
from InfiniteTalk.pipeline import InfiniteTalkPipeline


def load_pipeline(
    options: argparse.Namespace,
    speakers: Speakers,
    lora_scales: Mapping[Path, float],
    ranks: Ranks | None = None,
) -> InfiniteTalkPipeline:
    """Loads what the arguments name, LoRAs switched on. Raises one of `MODEL_ERRORS`."""
    ranks = ranks or Ranks()
    device = ranks.device
    streams = options.num_persistent_param_in_dit is not None
    offloads = device.type == "cuda" and (streams or options.offload_model is not False)
    components = load_components(
        CheckpointPaths(
            options.ckpt_dir,
            options.infinitetalk_dir,
            options.wav2vec_dir,
            loras=() if options.merge_lora else tuple(lora_scales),
            merged_loras=lora_scales if options.merge_lora else {},
            merged=options.ckpt_dir if options.task == FLASHTALK else None,
        ),
        speakers,
        LoadOptions(
            device="cpu" if offloads else device,
            torch_dtype=torch.bfloat16 if device.type == "cuda" else torch.float32,
            quantize=options.quant == "fp8",
            float8_activations=options.float8_activations,
        ),
    )
    pipeline = InfiniteTalkPipeline.from_components(components)
    if not options.merge_lora:
        use_loras(pipeline, lora_scales)
    ranks.split(pipeline.transformer)
    if streams:
        _stream_blocks(pipeline, options.num_persistent_param_in_dit, device)
    elif offloads:
        pipeline.enable_model_cpu_offload(device=device)
    if options.use_teacache:
        config = TeaCacheConfig(
            options.teacache_thresh,
            size_class(options),
            steps_of(options),
            reference_compat=options.reference_compat,
        )
        enable_tea_cache(pipeline.transformer, config)
    return pipeline


def use_loras(pipeline: InfiniteTalkPipeline, scales: Mapping[Path, float]) -> None:
    """Switches the LoRAs on, each at its scale."""
    if pipeline.loras is not None:
        names = named_by_file(list(scales))
        pipeline.loras.use({name: scales[file] for name, file in names.items()})


def _stream_blocks(pipeline: InfiniteTalkPipeline, num_parameters: int, device: torch.device) -> None:
    """Keeps on the device what was asked for and the small models; fetches the rest in parts."""
    keep_resident(pipeline.transformer, num_parameters, device, use_stream=device.type == "cuda")
    apply_group_offloading(
        pipeline.text_encoder, device, offload_type="leaf_level", use_stream=device.type == "cuda"
    )
    for model in (pipeline.image_encoder, pipeline.vae):
        model.to(device)
