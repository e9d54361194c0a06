"""Guidance by text and by audio: which passes a step needs, and how their predictions are combined.

`AdaptiveProjectedGuidance` follows S. Sadat et al., "Eliminating Oversaturation and Artifacts of High
Guidance Scales in Diffusion Models" (2024).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isclose

import torch
from torch.nn.functional import normalize


class Pass(StrEnum):
    """One call of the transformer within a step; the value names its cache."""

    COND = "cond"
    """Prompt and speech."""
    DROP_TEXT = "drop_text"
    """Negative prompt and speech."""
    UNCOND = "uncond"
    """Negative prompt and null audio."""
    DROP_AUDIO = "drop_audio"
    """Prompt and null audio."""

    @property
    def hears_speech(self) -> bool:
        return self in (Pass.COND, Pass.DROP_TEXT)

    @property
    def reads_prompt(self) -> bool:
        return self in (Pass.COND, Pass.DROP_AUDIO)


@dataclass(frozen=True)
class AdaptiveProjectedGuidance:
    """Parameters of APG.

    Attributes:
        momentum: Weight of the earlier steps' directions; negative ones are taken off.
        norm_threshold: Longest direction, over all elements; 0 for no limit.
        eta: Weight of the part parallel to the prediction.
    """

    momentum: float = -0.75
    norm_threshold: float = 55.0
    eta: float = 0.0

    def direction(
        self, difference: torch.Tensor, prediction: torch.Tensor, average: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The guiding direction for this step, and the running average to hand in at the next.

        Args:
            difference: What the condition adds to the prediction, float32 of any shape.
            prediction: The fully conditioned prediction.
            average: From the step before; None at a window's first step.
        """
        average = difference if average is None else difference + self.momentum * average
        direction = average
        if self.norm_threshold > 0:
            direction = direction * (self.norm_threshold / direction.norm()).clamp(max=1.0)
        unit = normalize(prediction.double().flatten(), dim=0)
        along = direction.double().flatten()
        parallel = (along @ unit) * unit
        projected = along - parallel + self.eta * parallel
        return projected.view_as(direction).to(direction.dtype), average


@dataclass(frozen=True)
class Averages:
    """What APG carries from step to step within a window; None before the first step and where not needed."""

    text: torch.Tensor | None = None
    audio: torch.Tensor | None = None


@dataclass(frozen=True)
class Guidance:
    """How strongly the prompt and the speech steer, and by which rule.

    Attributes:
        text_scale: 1 for no guidance by the prompt.
        audio_scale: 1 for no guidance by the speech.
        apg: None for the plain combination.
        reference_compat: Compute a pass also where a scale of 1 makes it unnecessary, as the reference does.
    """

    text_scale: float
    audio_scale: float
    apg: AdaptiveProjectedGuidance | None = None
    reference_compat: bool = False

    @property
    def guides_text(self) -> bool:
        return not isclose(self.text_scale, 1.0)

    @property
    def guides_audio(self) -> bool:
        return self.reference_compat or not isclose(self.audio_scale, 1.0)

    @property
    def passes(self) -> tuple[Pass, ...]:
        """The passes that a step needs, in the reference's order."""
        if not self.guides_text:
            return (Pass.COND, Pass.DROP_AUDIO) if self.guides_audio else (Pass.COND,)
        return (Pass.COND, Pass.DROP_TEXT, Pass.UNCOND) if self.guides_audio else (Pass.COND, Pass.DROP_TEXT)

    def combine(
        self, predictions: Mapping[Pass, torch.Tensor], averages: Averages
    ) -> tuple[torch.Tensor, Averages]:
        """The guided prediction from those of `passes`, and what APG hands to the next step."""
        if self.apg is None:
            return self._extrapolate(predictions), averages
        return self._project(self.apg, predictions, averages)

    def _extrapolate(self, predictions: Mapping[Pass, torch.Tensor]) -> torch.Tensor:
        cond = predictions[Pass.COND]
        if not self.guides_text:
            if not self.guides_audio:
                return cond
            drop_audio = predictions[Pass.DROP_AUDIO]
            return drop_audio + self.audio_scale * (cond - drop_audio)
        drop_text = predictions[Pass.DROP_TEXT]
        if not self.guides_audio:
            return drop_text + self.text_scale * (cond - drop_text)
        uncond = predictions[Pass.UNCOND]
        return uncond + self.text_scale * (cond - drop_text) + self.audio_scale * (drop_text - uncond)

    def _project(
        self, apg: AdaptiveProjectedGuidance, predictions: Mapping[Pass, torch.Tensor], averages: Averages
    ) -> tuple[torch.Tensor, Averages]:
        guided = cond = predictions[Pass.COND]
        text, audio = averages.text, averages.audio
        if self.guides_text:
            direction, text = apg.direction(cond - predictions[Pass.DROP_TEXT], cond, text)
            guided = guided + (self.text_scale - 1) * direction
        if self.guides_audio:
            direction, audio = apg.direction(self._audio_difference(predictions), cond, audio)
            guided = guided + (self.audio_scale - 1) * direction
        return guided, Averages(text, audio)

    def _audio_difference(self, predictions: Mapping[Pass, torch.Tensor]) -> torch.Tensor:
        if self.guides_text:
            return predictions[Pass.DROP_TEXT] - predictions[Pass.UNCOND]
        return predictions[Pass.COND] - predictions[Pass.DROP_AUDIO]
