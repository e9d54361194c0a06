"""Compiled blocks have one graph for each number of speakers with and without a LoRA, made at warm-up."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch._dynamo.utils import counters

from InfiniteTalk.checkpoints.lora import Lora, LoraLayer, LoraSwitch
from InfiniteTalk.compilation import MAX_GRAPHS
from InfiniteTalk.transformer import InfiniteTalkContextCache, InfiniteTalkTransformer3DModel
from InfiniteTalk.warm_up import warm_up

from .golden_transformer import golden_model

# In patches: 480p and 720p square, and portrait, landscape and the widest.
SIZES = [(8, 12), (16, 16), (12, 8), (10, 14), (4, 20)]
LATENT_FRAMES = 3


@dataclass
class Compiled:
    """A transformer whose blocks are compiled, and its LoRAs."""

    model: InfiniteTalkTransformer3DModel
    loras: LoraSwitch

    @torch.no_grad()
    def render(self, size: tuple[int, int], speakers: int, scales: dict[str, float]) -> torch.Tensor:
        """Two steps of two passes, with speech and without; the last velocity."""
        self.loras.use(scales)
        config, (height, width) = self.model.config, size
        masks = torch.zeros(3, height, width)
        masks[0, :, : width // 2], masks[1, :, width // 2 :] = 1, 1
        speech = (speakers, 4 * (LATENT_FRAMES - 1) + 1, 5, config.audio_blocks, config.audio_channels)
        generator = torch.Generator().manual_seed(0)
        inputs = {
            "hidden_states": torch.randn(1, 36, LATENT_FRAMES, height, width, generator=generator),
            "encoder_hidden_states": torch.randn(1, 6, config.text_dim, generator=generator),
            "encoder_hidden_states_image": torch.randn(1, 257, config.image_dim, generator=generator),
            "speaker_masks": masks if speakers == 2 else None,
        }
        heard, silent = InfiniteTalkContextCache(), InfiniteTalkContextCache()
        audio = torch.randn(speech, generator=generator)
        for timestep in (torch.tensor([900.0]), torch.tensor([400.0])):
            velocity = self.model(**inputs, timestep=timestep, audio_embeds=audio, context_cache=heard).sample
            self.model(**inputs, timestep=timestep, audio_embeds=None, context_cache=silent)
        return velocity


def adapted(model: InfiniteTalkTransformer3DModel) -> LoraSwitch:
    """Two LoRAs of different ranks for all matrices of the blocks but those of the audio attention."""
    generator = torch.Generator().manual_seed(1)
    loras = []
    for name, rank in (("narrow", 2), ("wide", 4)):
        layers = {
            layer: LoraLayer(
                down=0.1 * torch.randn(rank, module.in_features, generator=generator),
                up=0.1 * torch.randn(module.out_features, rank, generator=generator),
                diff_bias=0.1 * torch.randn(module.out_features, generator=generator),
            )
            for layer, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and layer.startswith("blocks") and "audio" not in layer
        }
        loras.append(Lora(name, layers))
    return LoraSwitch(model, loras, torch.float32)


def compiled(**options: object) -> Compiled:
    model = golden_model()
    loras = adapted(model)
    model.compile_repeated_blocks(backend="eager", **options)
    return Compiled(model, loras)


@pytest.fixture(autouse=True)
def _from_scratch() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def test_warm_up_makes_all_graphs_and_no_size_pass_or_lora_another() -> None:
    transformer = compiled()
    warm_up(transformer.model, transformer.loras, 2, torch.device("cpu"))
    assert counters["stats"]["unique_graphs"] == MAX_GRAPHS

    for size in SIZES:
        for speakers in (1, 2):
            for scales in ({}, {"wide": 0.5}):
                transformer.render(size, speakers, scales)
    transformer.render(SIZES[0], 1, {"narrow": 1.0})

    assert counters["stats"]["unique_graphs"] == MAX_GRAPHS
    assert transformer.model.compiled is not None
    assert transformer.model.compiled.uncompiled_calls == 0


def test_compiled_blocks_compute_what_uncompiled_ones_do() -> None:
    transformer, plain = compiled(), golden_model()
    scales = {"wide": 0.5, "narrow": 1.0}
    ours = transformer.render(SIZES[1], 2, scales)

    expected = Compiled(plain, adapted(plain)).render(SIZES[1], 2, scales)

    assert (ours - expected).abs().max() < 1e-5


def test_a_graph_too_many_is_reported_and_the_block_still_computes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    transformer = compiled(recompile_limit=1)
    transformer.render(SIZES[0], 1, {})
    velocity = transformer.render(SIZES[0], 2, {})

    assert velocity.isfinite().all()
    assert transformer.model.compiled is not None
    assert transformer.model.compiled.uncompiled_calls > 0
    assert "run uncompiled" in caplog.text
