"""InfiniteTalk's transformer: Wan 2.1 image-to-video with an audio attention in every block.

Shapes use: `T` latent frames, `h, w` latent height and width, `S = h/2 * w/2` tokens of a frame, `N = T * S`
tokens (frame-major, then rows, then columns), `n` tokens held by this process (`N` unless context parallelism
splits them), `d` model width, `H` heads of width `D`, `P` speakers, `F = 4 * (T - 1) + 1` video frames.

To read it in order: `model`, `embeddings`, `block`, `attention`; `contexts`, `positions`, `token_layout` and
`speakers` are what these hand each other, and `elementwise` their norms and sums.
"""

from InfiniteTalk.transformer.contexts import InfiniteTalkContextCache, ProjectedContext
from InfiniteTalk.transformer.embeddings import InfiniteTalkAudioProjection
from InfiniteTalk.transformer.model import InfiniteTalkTransformer3DModel
from InfiniteTalk.transformer.speakers import EmptySpeakerMaskError, SpeakerClasses, listening_places

__all__ = [
    "EmptySpeakerMaskError",
    "InfiniteTalkAudioProjection",
    "InfiniteTalkContextCache",
    "InfiniteTalkTransformer3DModel",
    "ProjectedContext",
    "SpeakerClasses",
    "listening_places",
]
