"""One of two processes that share each forward: `python -m ….parallel_process RANK RENDEZVOUS OUTPUT`."""

import sys
from collections.abc import Iterator

import torch
from safetensors.torch import save_file

from InfiniteTalk.caching import TeaCacheConfig, disable_tea_cache, enable_tea_cache
from InfiniteTalk.parallel import Ranks
from InfiniteTalk.transformer import InfiniteTalkContextCache, InfiniteTalkTransformer3DModel

from .golden_transformer import golden_model, predict
from .recordings import tensors

PROCESSES = 2
TEA_CACHE = TeaCacheConfig(threshold=1e9, size="infinitetalk-480", num_inference_steps=7)


def cases(model: InfiniteTalkTransformer3DModel) -> Iterator[tuple[str, torch.Tensor]]:
    """Forwards of 72 tokens in three frames of 24: the border of two halves lies within the second frame."""
    cache = InfiniteTalkContextCache()
    yield "one speaker", predict(model, "transformer_one", 0, context_cache=cache)
    yield "one speaker, cached", predict(model, "transformer_one", 1, context_cache=cache)
    yield "null audio", predict(model, "transformer_one", 0, audio_embeds=None)
    yield "two speakers", predict(model, "transformer_two", 0)
    yield "one frame shared by both", predict(model, "transformer_two", 0, **first_frame())
    yield "skipped by TeaCache", last_of_a_window(model)


def first_frame() -> dict[str, torch.Tensor]:
    recorded = tensors("transformer_two")
    hidden_states = torch.cat((recorded["latent"][None], recorded["y"]), dim=1)[:, :, :1]
    return {"hidden_states": hidden_states, "audio_embeds": recorded["audio"][:, :1]}


def last_of_a_window(model: InfiniteTalkTransformer3DModel) -> torch.Tensor:
    enable_tea_cache(model, TEA_CACHE)
    with model.cache_context("cond"):
        for timestep in torch.linspace(1000, 999, TEA_CACHE.num_inference_steps):
            velocity = predict(model, "transformer_one", 0, timestep=timestep[None])
    disable_tea_cache(model)
    return velocity


def main(rank: int, rendezvous: str, output: str) -> None:
    torch.set_num_threads(1)
    ranks = Ranks(rank, PROCESSES, rank)
    with ranks.connected(f"file://{rendezvous}"):
        model = golden_model()
        ranks.split(model)
        velocities = dict(cases(model))
        save_file({name: velocity.contiguous() for name, velocity in velocities.items()}, output)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
