"""InfiniteTalk: portrait or video and speech → talking video of any length, on diffusers' Wan 2.1 blocks.

    from InfiniteTalk import InfiniteTalkPipeline, RenderSettings, StillReference, load_speech

    pipeline = InfiniteTalkPipeline.from_pretrained("weights", speakers="single")
    for window in pipeline.stream(
        reference=StillReference(portrait),
        speech=[load_speech("speech.wav")],
        prompt="A woman is talking.",
        settings=RenderSettings(40, 7.0, text_guidance_scale=5.0, audio_guidance_scale=4.0),
    ):
        write(window.frames)  # uint8 [n, H, W, 3], 25 a second

Shapes all through the package, for `F` frames of a window (81), `T = 1 + (F - 1) / 4` latent frames, `h, w`
latent height and width (an eighth of the picture's), `P` speakers and `L` frames of speech:

- latents, velocities, noise, reference latents: float32 [1, 16, T, h, w]; of motion frames [1, 16, Tm, h, w]
- embeddings of a prompt [1, n, 4096], without padding; of the picture [1, 257, 1280]
- embeddings of one person's speech [L, 12, 768]; their windows [P, F, 5, 12, 768]
- masks of two speakers and the background [3, h, w]

The models alone: `InfiniteTalkTransformer3DModel` predicts a velocity. A recorded run is replayed by handing
its tensors to `stream` as `Precomputed` and reading each step in a callback, which is given a `StepProgress`;
models that are then not needed may be None. A render goes on from a `WindowState` or a `StepState`.

To read it in order: `pipeline` says what a render is, `rendering` goes from window to window, `sampling`
and `schedule` from step to step by one of the `solvers`, `guidance` combines the passes of a step, and
`transformer` is the model. Its inputs come from `audio`, `speech_encoding` and `conditioning`; its output
goes through `latents`, `wan_vae` and `color`. `windows`, `sizes`, `settings` and `states` are the data
between them; `caching`, `compilation`, `projections` and `parallel` make it faster. `flashtalk` has the
settings of weights that were distilled for few steps. Everything about files of weights lies in
`checkpoints/`.

The names below are loaded when they are first asked for: importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from InfiniteTalk.audio import load_speech
    from InfiniteTalk.caching import TeaCacheConfig, disable_tea_cache, enable_tea_cache
    from InfiniteTalk.checkpoints.options import LoadOptions
    from InfiniteTalk.conditioning import PixelBox, SpeakerBox
    from InfiniteTalk.flashtalk import flashtalk_settings
    from InfiniteTalk.guidance import AdaptiveProjectedGuidance
    from InfiniteTalk.pipeline import InfiniteTalkPipeline
    from InfiniteTalk.reference import StillReference, VideoReference
    from InfiniteTalk.rendering import Window
    from InfiniteTalk.sampling import RenderStopped, StepProgress, StopSampling
    from InfiniteTalk.settings import Precomputed, RenderSettings
    from InfiniteTalk.sizes import Size
    from InfiniteTalk.states import StepState, WindowState
    from InfiniteTalk.transformer import InfiniteTalkContextCache, InfiniteTalkTransformer3DModel

_MODULES = {
    "AdaptiveProjectedGuidance": "guidance",
    "InfiniteTalkContextCache": "transformer",
    "InfiniteTalkPipeline": "pipeline",
    "InfiniteTalkTransformer3DModel": "transformer",
    "LoadOptions": "checkpoints.options",
    "PixelBox": "conditioning",
    "Precomputed": "settings",
    "RenderSettings": "settings",
    "RenderStopped": "sampling",
    "Size": "sizes",
    "SpeakerBox": "conditioning",
    "StepProgress": "sampling",
    "StepState": "states",
    "StillReference": "reference",
    "StopSampling": "sampling",
    "TeaCacheConfig": "caching",
    "VideoReference": "reference",
    "Window": "rendering",
    "WindowState": "states",
    "disable_tea_cache": "caching",
    "enable_tea_cache": "caching",
    "flashtalk_settings": "flashtalk",
    "load_speech": "audio",
}

__all__ = [
    "AdaptiveProjectedGuidance",
    "InfiniteTalkContextCache",
    "InfiniteTalkPipeline",
    "InfiniteTalkTransformer3DModel",
    "LoadOptions",
    "PixelBox",
    "Precomputed",
    "RenderSettings",
    "RenderStopped",
    "Size",
    "SpeakerBox",
    "StepProgress",
    "StepState",
    "StillReference",
    "StopSampling",
    "TeaCacheConfig",
    "VideoReference",
    "Window",
    "WindowState",
    "disable_tea_cache",
    "enable_tea_cache",
    "flashtalk_settings",
    "load_speech",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
