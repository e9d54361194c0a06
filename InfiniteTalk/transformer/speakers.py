"""Two speakers: where they are in the picture, and whom each token listens to."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

# Places on the axis that tells two speakers apart: those a token can take, by whom it listens to, and those
# of the speakers' audio tokens.
SPEAKER_PLACES = (0.0, 20.0)
SPEAKER_PLACES_WIDTH = 4.0
BACKGROUND_PLACE = 12.0
AUDIO_PLACES = (2.0, 22.0)


class EmptySpeakerMaskError(ValueError):
    """A speaker's mask covers no token, so nobody would listen to them."""


@dataclass(frozen=True)
class SpeakerClasses:
    """Where the speakers are in the picture, at the tokens of one frame.

    Attributes:
        members: [1, S, 1, D]: column `c` is 1 for the tokens of class `c` (speaker 1, speaker 2, background),
            all others are 0.
        sizes: tokens of each class, [3]; 1 for an empty background, to which no token attends.
    """

    members: Tensor
    sizes: Tensor

    @classmethod
    def from_masks(
        cls, masks: Tensor, token_grid: tuple[int, int], width: int, dtype: torch.dtype
    ) -> "SpeakerClasses":
        """Reduce masks [3, h, w] (speaker 1, speaker 2, background) to the token grid, by nearest neighbour.

        Raises:
            EmptySpeakerMaskError: a speaker has no token.
        """
        classes = F.interpolate(masks[None].float(), size=token_grid, mode="nearest")[0].flatten(1) > 0
        sizes = classes.sum(dim=1)
        for speaker, size in enumerate(sizes[:2].tolist(), start=1):
            if size == 0:
                raise EmptySpeakerMaskError(
                    f"the mask of speaker {speaker} covers no token of the {token_grid} grid"
                )
        members = F.pad(classes.T.to(dtype), (0, width - len(classes)))
        return cls(members[None, :, None], sizes.clamp(min=1).float())


def listening_places(attention: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """Place every token on the speakers' axis, by the class that it attends to most.

    Args:
        attention: mean attention of each token to the tokens of each class, [C, n].
        group: the processes among which the tokens are split.

    Returns:
        Places [n]: 0 to 4 for speaker 1, 20 to 24 for speaker 2 (the more attention, the higher), 12 for
        background.
    """
    low, high = attention.amin(dim=1), attention.amax(dim=1)
    if group is not None:
        extremes = torch.stack((-low, high))
        dist.all_reduce(extremes, dist.ReduceOp.MAX, group=group)
        low, high = -extremes[0], extremes[1]
    shares = (attention - low[:, None]) / (high - low + 1e-8)[:, None]
    places = [start + SPEAKER_PLACES_WIDTH * shares[speaker] for speaker, start in enumerate(SPEAKER_PLACES)]
    places.append(torch.full_like(places[0], BACKGROUND_PLACE))
    return torch.stack(places).gather(0, attention.argmax(dim=0, keepdim=True))[0]
