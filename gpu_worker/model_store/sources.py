"""Which files of which repositories the engine needs: a few of them, for one repository holds 158 GB."""

from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Literal, Self

Precision = Literal["fp8", "bf16"]
Speakers = Literal["single", "multi"]
Models = Literal["standard", "turbo", "all"]


@dataclass(frozen=True)
class Source:
    """A part of a repository on the hub.

    Attributes:
        repo: Its name there.
        revision: Branch or reference; what it points to when it is first seen is what is kept to.
        files: Patterns of the files to get.
        folder: Where they go below the downloads.
        repo_type: What the hub calls this kind of repository.
    """

    repo: str
    revision: str
    files: tuple[str, ...]
    folder: str
    repo_type: str = "model"

    def wants(self, path: str) -> bool:
        return any(fnmatch(path, pattern) for pattern in self.files)


_TRANSFORMER = (
    "config.json",
    "diffusion_pytorch_model*.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
)
_ENCODERS = (
    "models_t5_umt5-xxl-enc-bf16.pth",
    "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
    "Wan2.1_VAE.pth",
    "google/umt5-xxl/*",
)
BASE = Source("Wan-AI/Wan2.1-I2V-14B-480P", "main", _TRANSFORMER + _ENCODERS, "Wan2.1-I2V-14B-480P")
# What distilled weights share with the base.
BASE_ENCODERS = replace(BASE, files=_ENCODERS)
# Its own T5, CLIP and VAE are those of the base. The card has the licence.
FLASHTALK = Source(
    "Soul-AILab/SoulX-FlashTalk-14B", "main", (*_TRANSFORMER, "README.md"), "SoulX-FlashTalk-14B"
)
SPEECH_ENCODER = Source(
    "TencentGameMate/chinese-wav2vec2-base",
    "refs/pr/1",  # Only there are the weights in safetensors.
    ("config.json", "preprocessor_config.json", "model.safetensors"),
    "chinese-wav2vec2-base",
)
AUDIO_REPO = "MeiGen-AI/InfiniteTalk"
LORAS = {
    "lightx2v": Source(
        "lightx2v/Wan2.1-Distill-Loras",
        "main",
        ("wan2.1_i2v_lora_rank64_lightx2v_4step.safetensors",),
        "lora",
    ),
}

# The files of the release model-files-v1.0 of kokoro-onnx, which names no digests: these are what it serves.
KOKORO = Source("fastrtc/kokoro-onnx", "main", ("kokoro-v1.0.onnx", "voices-v1.0.bin"), "kokoro")
KOKORO_SHA256 = {
    "kokoro-v1.0.onnx": "7d5df8ecf7d4b1878015a32686053fd0eebe2bc377234608764cc0ef3636a6c5",
    "voices-v1.0.bin": "bca610b8308e8d99f32e6fe4197e7ec01679264efed0cac9140fe9c29f1fbf7d",
}

KERNELS_FOLDER = "kernels"
# By the names and versions that diffusers knows them by.
SAGE_ATTENTION = Source(
    "SageAttention/sage-attention", "v3", ("build/*",), "SageAttention/sage-attention", "kernel"
)
FLASH_ATTENTION_3 = Source(
    "kernels-community/flash-attn3", "v1", ("build/*",), "kernels-community/flash-attn3", "kernel"
)
KERNELS = (SAGE_ATTENTION, FLASH_ATTENTION_3)


@dataclass(frozen=True)
class Selection:
    """What to prepare.

    Attributes:
        precision: How the large matrices are stored.
        speakers: For how many people there shall be audio layers.
        loras: By the names that the presets use.
        turbo: Whether to prepare the distilled weights.
    """

    precision: Precision = "fp8"
    speakers: tuple[Speakers, ...] = ("single", "multi")
    loras: tuple[str, ...] = ("lightx2v",)
    turbo: bool = False

    @classmethod
    def of(
        cls, models: Models, precision: Precision, speakers: tuple[Speakers, ...], loras: tuple[str, ...]
    ) -> Self:
        """What these models consist of; speakers and LoRAs belong to the standard ones."""
        if models == "turbo":
            return cls(precision, (), (), turbo=True)
        return cls(precision, speakers, loras, turbo=models == "all")

    @property
    def sources(self) -> tuple[Source, ...]:
        flashtalk = (FLASHTALK,) if self.turbo else ()
        if not self.speakers:
            return (BASE_ENCODERS, SPEECH_ENCODER, *flashtalk)
        audio_files = tuple(f"{speakers}/infinitetalk.safetensors" for speakers in self.speakers)
        audio = Source(AUDIO_REPO, "main", audio_files, "InfiniteTalk")
        return (BASE, SPEECH_ENCODER, audio, *flashtalk, *(LORAS[name] for name in self.loras))
