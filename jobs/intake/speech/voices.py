"""The voices that can say a text: those of the engine that is set up here, or none."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True)
class Pace:
    """How fast a voice speaks, in seconds: measured from what its engine says.

    Attributes:
        letter: Of a letter; of a character, where one is a syllable.
        digit: Of a digit, read as part of a number.
    """

    letter: float
    digit: float


@dataclass(frozen=True)
class Voice:
    """A voice.

    Attributes:
        id: Its name in requests.
        language: A BCP 47 tag.
        gender: `female` or `male`.
        engine: What speaks.
        name: Its name for the engine.
        scripts: The scripts that it can read, as Unicode's names of characters begin.
        pace: How fast it speaks.
    """

    id: str
    language: str
    gender: str
    engine: str
    name: str
    scripts: tuple[str, ...]
    pace: Pace


LATIN = ("LATIN",)
ESPEAK = "espeak"
_LANGUAGES = (
    ("en-us", "en-US", LATIN, Pace(0.0545, 0.36)),
    ("de", "de-DE", LATIN, Pace(0.0575, 0.50)),
    ("es", "es-ES", LATIN, Pace(0.0590, 0.48)),
    ("fr", "fr-FR", LATIN, Pace(0.0405, 0.33)),
    ("it", "it-IT", LATIN, Pace(0.0560, 0.46)),
    ("pt-br", "pt-BR", LATIN, Pace(0.0600, 0.52)),
    ("hi", "hi-IN", ("DEVANAGARI",), Pace(0.1060, 0.33)),
    ("cmn", "zh-CN", ("CJK",), Pace(0.26, 0.40)),
)
_GENDERS = (("male", "m3"), ("female", "f2"))

ESPEAK_VOICES = {
    f"{ESPEAK}-{language.lower()}-{gender}": Voice(
        f"{ESPEAK}-{language.lower()}-{gender}", language, gender, ESPEAK, f"{name}+{variant}", scripts, pace
    )
    for name, language, scripts, pace in _LANGUAGES
    for gender, variant in _GENDERS
}


def offered() -> Mapping[str, Voice]:
    """The voices that requests may name, the default first; none where no engine is set up."""
    return ESPEAK_VOICES if settings.SPEECH_ENGINE == ESPEAK else {}
