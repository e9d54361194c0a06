import pytest
import torch

from InfiniteTalk.guidance import AdaptiveProjectedGuidance, Averages, Guidance, Pass
from tests.infinitetalk.recordings import error, metadata, tensors


@pytest.mark.parametrize("case", range(4))
def test_directions_are_projected_as_by_the_reference(case: int) -> None:
    facts, recorded = metadata("misc")["apg_cases"][case], tensors("misc")
    apg = AdaptiveProjectedGuidance(facts["momentum"], facts["norm_threshold"], facts["eta"])
    average = None
    for update in range(facts["updates"]):
        difference, prediction, expected = (
            recorded[f"apg/{facts['name']}/{part}{update}"] for part in ("diff", "cond", "out")
        )
        direction, average = apg.direction(difference, prediction, average)
        assert error(direction, expected) < 1e-6


@pytest.mark.parametrize(
    ("text_scale", "audio_scale", "passes"),
    [
        (1, 1, [Pass.COND]),
        (1, 2, [Pass.COND, Pass.DROP_AUDIO]),
        (5, 1, [Pass.COND, Pass.DROP_TEXT]),
        (5, 4, [Pass.COND, Pass.DROP_TEXT, Pass.UNCOND]),
    ],
)
@pytest.mark.parametrize("apg", [None, AdaptiveProjectedGuidance()])
def test_a_pass_that_a_scale_of_1_makes_unnecessary_is_not_computed(
    text_scale: float, audio_scale: float, passes: list[Pass], apg: AdaptiveProjectedGuidance | None
) -> None:
    guidance = Guidance(text_scale, audio_scale, apg)
    all_passes = Guidance(text_scale, audio_scale, apg, reference_compat=True)
    predictions = {kind: torch.randn(1, 16, 3, 4, 4) for kind in all_passes.passes}
    guided, _ = guidance.combine({kind: predictions[kind] for kind in guidance.passes}, Averages())
    assert list(guidance.passes) == passes
    assert error(guided, all_passes.combine(predictions, Averages())[0]) < 1e-5


def test_three_passes_are_combined_as_published() -> None:
    cond, drop_text, uncond = torch.randn(3, 1, 16, 2, 4, 4)
    predictions = {Pass.COND: cond, Pass.DROP_TEXT: drop_text, Pass.UNCOND: uncond}
    guided, _ = Guidance(5, 4).combine(predictions, Averages())
    assert error(guided, uncond + 5 * (cond - drop_text) + 4 * (drop_text - uncond)) < 1e-5


def test_two_passes_are_combined_as_published() -> None:
    cond, drop_audio = torch.randn(2, 1, 16, 2, 4, 4)
    guided, _ = Guidance(1, 2).combine({Pass.COND: cond, Pass.DROP_AUDIO: drop_audio}, Averages())
    assert error(guided, drop_audio + 2 * (cond - drop_audio)) < 1e-5


def test_apg_adds_each_direction_to_the_conditioned_prediction_with_its_own_average() -> None:
    apg = AdaptiveProjectedGuidance(norm_threshold=3)
    guidance, averages = Guidance(5, 4, apg), Averages()
    text = audio = None
    for _ in range(2):
        cond, drop_text, uncond = torch.randn(3, 1, 16, 2, 4, 4)
        predictions = {Pass.COND: cond, Pass.DROP_TEXT: drop_text, Pass.UNCOND: uncond}
        guided, averages = guidance.combine(predictions, averages)
        by_text, text = apg.direction(cond - drop_text, cond, text)
        by_audio, audio = apg.direction(drop_text - uncond, cond, audio)
        assert error(guided, cond + 4 * by_text + 3 * by_audio) < 1e-6
