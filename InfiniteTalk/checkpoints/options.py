"""Which checkpoint to load, and how its weights are held."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from InfiniteTalk.checkpoints.conversion import (
    AUDIO_FOLDER,
    BASE_FOLDER,
    FLASHTALK_FOLDER,
    WAV2VEC2_FOLDER,
)


@dataclass(frozen=True)
class CheckpointPaths:
    """Where the weights are; each folder may be prepared or as downloaded.

    Attributes:
        ckpt_dir: The Wan 2.1 base.
        infinitetalk: The audio layers: the file, its folder, or the folder with `single/` and `multi/`. None
            where `merged` holds them.
        wav2vec_dir: The speech encoder.
        loras: LoRA files to switch on and off.
        merged_loras: LoRA files to add to the weights for good, each with its scale.
        merged: The folder of a transformer that holds the audio layers for one speaker itself, as
            SoulX-FlashTalk-14B. It takes the place of the base's transformer.
    """

    ckpt_dir: Path
    infinitetalk: Path | None
    wav2vec_dir: Path
    loras: tuple[Path, ...] = ()
    merged: Path | None = None
    merged_loras: Mapping[Path, float] = field(default_factory=dict)

    @classmethod
    def below(cls, directory: Path) -> "CheckpointPaths":
        """Everything in one folder under the hub's names, as `conversion` leaves it, with all LoRAs there."""
        return cls(
            ckpt_dir=directory / BASE_FOLDER,
            infinitetalk=directory / AUDIO_FOLDER,
            wav2vec_dir=directory / WAV2VEC2_FOLDER,
            loras=tuple(sorted((directory / AUDIO_FOLDER / "lora").glob("*.safetensors"))),
        )

    @classmethod
    def flashtalk_below(cls, directory: Path) -> "CheckpointPaths":
        """SoulX-FlashTalk-14B and the models that it shares with InfiniteTalk, all in one folder."""
        return cls(
            ckpt_dir=directory / BASE_FOLDER,
            infinitetalk=None,
            wav2vec_dir=directory / WAV2VEC2_FOLDER,
            merged=directory / FLASHTALK_FOLDER,
        )


@dataclass(frozen=True)
class LoadOptions:
    """How weights are held.

    Attributes:
        device: Where they go.
        torch_dtype: What transformer and T5 compute in. CLIP follows in float16, or float32 if this is
            float32; VAE and speech encoder compute in float32.
        quantize: Round the blocks' matrices of transformer and T5 to float8, if they are not stored so.
        float8_activations: Multiply float8 matrices in float8; see `precision.float8_weight`.
    """

    device: torch.device | str = "cpu"
    torch_dtype: torch.dtype = torch.bfloat16
    quantize: bool = False
    float8_activations: bool = False
