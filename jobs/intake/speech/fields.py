"""Fields by which a request has texts said: what may come together, and what is to be spoken in the end."""

from collections.abc import Iterator, Mapping
from typing import Any

from avatar_api.common.faults import Faults
from avatar_api.common.fields import StrictCharField, StrictFloatField, StrictIntegerField, StrictSerializer
from avatar_api.common.problems import FieldError, invalid
from jobs.intake.speech import texts, voices
from jobs.intake.speech.texts import MAX_CHARACTERS, MAX_PAUSE, Line, Spoken, TextError
from jobs.intake.speech.voices import Voice

TEXT_FIELDS = ("text", "script", "text_2")
VOICE_OF = {"text": "voice", "text_2": "voice_2"}
MAX_LINES = 500
MAX_VOICE_ID = 64


class TextField(StrictCharField):
    """A text to be said; whether a voice can say it is checked later."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_CHARACTERS, **kwargs)


class VoiceField(StrictCharField):
    """The id of a voice; whether it exists is checked later."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=MAX_VOICE_ID, **kwargs)


class ScriptLineSerializer(StrictSerializer):
    """What one of two speakers says before the other one does."""

    speaker = StrictIntegerField(min_value=1, max_value=2)
    text = TextField(help_text="What is said.")
    voice = VoiceField(help_text="Default: voice for speaker 1, voice_2 for speaker 2.")
    pause = StrictFloatField(
        min_value=0,
        max_value=MAX_PAUSE,
        required=False,
        help_text=f"Seconds of silence before. Default: {texts.BETWEEN_LINES}, none before the first line.",
    )


def speakers_of(script: Any) -> int:
    """How many speakers a script has, as it was sent."""
    lines = script if isinstance(script, list) else []
    return 2 if any(isinstance(line, dict) and line.get("speaker") == 2 for line in lines) else 1


def conflicts_of_texts(data: Mapping[str, Any]) -> Iterator[FieldError]:
    """What can't come with a text, and what comes without one."""
    sent = [name for name in TEXT_FIELDS if name in data]
    if sent and not voices.offered():
        yield FieldError(sent[0], "not_offered", "Speech from text is not available here.")
    if sent and "audio_channels" in data:
        detail = "It is for recordings: send text_2 or script for two speakers."
        yield FieldError("audio_channels", "ambiguous", detail)
    if "script" in data and "speaking_order" in data:
        yield FieldError("speaking_order", "ambiguous", "The order of the script's lines decides.")
    for text, voice in VOICE_OF.items():
        if voice in data and not {text, "script"} & data.keys():
            yield FieldError(voice, "text_required", f"It is the voice of {text} or script.")


def spoken(values: Mapping[str, Any]) -> dict[str, Spoken]:
    """What is to be said for each field with a text, from a request whose form is right.

    Raises:
        Problem: `validation_error` with every text and voice at fault.
    """
    if not any(name in values for name in TEXT_FIELDS):
        return {}
    faults, found = Faults(), {}
    chosen = {}
    for field in ("voice", "voice_2"):
        with faults.gathered():
            chosen[field] = _voice(values[field], field) if field in values else None
    faults.refuse()
    first = chosen["voice"] or next(iter(voices.offered().values()))
    defaults = {1: first, 2: chosen["voice_2"] or _partner_of(first)}
    for field, speaker in (("text", 1), ("text_2", 2)):
        with faults.gathered():
            if field in values:
                lines = _lines(field, values[field], defaults[speaker])
                found[field] = Spoken(tuple(lines))
    with faults.gathered():
        if "script" in values:
            found["script"] = _script(values["script"], defaults)
    faults.refuse()
    return found


def _script(script: list[dict[str, Any]], defaults: Mapping[int, Voice]) -> Spoken:
    faults, lines = Faults(), list[Line]()
    for index, line in enumerate(script):
        field = f"script.{index}"
        with faults.gathered():
            speaker = line["speaker"]
            voice = _voice(line["voice"], f"{field}.voice") if "voice" in line else defaults[speaker]
            pause = line.get("pause", texts.BETWEEN_LINES if index else 0.0)
            lines += _lines(f"{field}.text", line["text"], voice, pause=pause, speaker=speaker)
    faults.refuse()
    speakers = {line.speaker for line in lines}
    if speakers == {2}:
        raise invalid(FieldError("script", "invalid", "The first speaker must have a line."))
    return Spoken(tuple(lines), len(speakers))


def _lines(field: str, text: str, voice: Voice, *, pause: float = 0.0, speaker: int = 1) -> list[Line]:
    try:
        return texts.read_lines(text, voice, pause=pause, speaker=speaker)
    except TextError as error:
        raise invalid(FieldError(field, error.code, error.detail)) from error


def _partner_of(voice: Voice) -> Voice:
    """The first other voice of the same language, of another gender if there is one."""
    offered = voices.offered().values()
    others = [other for other in offered if other.language == voice.language and other != voice]
    return min(others, key=lambda other: other.gender == voice.gender, default=voice)


def _voice(voice_id: str, field: str) -> Voice:
    offered = voices.offered()
    if voice_id not in offered:
        raise invalid(FieldError(field, "unknown_voice", "GET /v1/voices lists those that there are."))
    return offered[voice_id]
