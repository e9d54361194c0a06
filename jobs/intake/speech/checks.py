"""What a deployment with speech from text is refused for before it starts."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from jobs.intake.speech import voices


@register
def the_speech_engine_is_known(**kwargs: Any) -> list[CheckMessage]:
    """A name that nothing answers to would leave customers without voices, and nobody would know why."""
    if not settings.SPEECH_ENGINE or voices.engine_of(settings.SPEECH_ENGINE):
        return []
    hint = f"It is {', '.join(voices.OURS)}, or an entry point of the group {voices.ENTRY_POINTS}."
    return [Error("SPEECH_ENGINE names no engine that is installed.", hint=hint, id="jobs.E007")]


@register
def a_speech_engine_finds_its_model(**kwargs: Any) -> list[CheckMessage]:
    """Without it every text would be taken, and every such job fail."""
    if settings.SPEECH_ENGINE != "kokoro" or settings.SPEECH_MODEL_PATH:
        return []
    hint = "Name the folder that python -m gpu_worker.model_store speech prepared."
    return [Error("SPEECH_ENGINE=kokoro needs SPEECH_MODEL_PATH beside it.", hint=hint, id="jobs.E006")]
