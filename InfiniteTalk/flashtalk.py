"""SoulX-FlashTalk-14B: weights distilled from InfiniteTalk that need few steps, one pass and short windows.

The transformer is InfiniteTalk's for one speaker, as are the other models. What differs is how a video is cut
into windows and how they are sampled.
"""

from collections.abc import Mapping

from InfiniteTalk.schedule import shift_timesteps
from InfiniteTalk.settings import RenderSettings
from InfiniteTalk.sizes import Size

NUM_FRAMES = 33
MOTION_FRAMES = 5
SHIFT = 5.0
BASE_TIMESTEPS: Mapping[int, tuple[float, ...]] = {4: (1000, 750, 500, 250), 2: (1000, 500)}
"""By number of steps, before they are shifted."""

BUCKETS: Mapping[float, Size] = {
    0.33: Size(336, 1008),
    0.43: Size(384, 896),
    0.58: Size(448, 768),
    0.77: Size(512, 672),
    1.00: Size(576, 576),
    1.31: Size(672, 512),
    1.71: Size(768, 448),
    2.33: Size(896, 384),
    3.00: Size(1008, 336),
}
"""Height / width of a picture → its size, of the area that the weights were trained at: 768 × 448."""


def flashtalk_settings(*, steps: int = 4, seed: int = 0, reference_compat: bool = False) -> RenderSettings:
    """How the weights were trained to be sampled.

    Args:
        steps: Of each window, 4 or 2.
        seed: Non-negative.
        reference_compat: Draw, and begin the speech, as the publisher's program does.

    Raises:
        ValueError: The weights were not trained for so many steps.
    """
    if steps not in BASE_TIMESTEPS:
        raise ValueError(f"steps must be 4 or 2, not {steps}")
    return RenderSettings(
        num_inference_steps=steps,
        shift=SHIFT,
        timesteps=shift_timesteps(BASE_TIMESTEPS[steps], SHIFT),
        text_guidance_scale=1.0,
        audio_guidance_scale=1.0,
        seed=seed,
        num_frames=NUM_FRAMES,
        motion_frames=MOTION_FRAMES,
        lead_in=MOTION_FRAMES,
        distilled=True,
        reference_compat=reference_compat,
    )
