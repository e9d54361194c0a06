"""The voices that can say a text: those of the engine that is set up here, or none."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from django.conf import settings

SAMPLES = Path(__file__).parents[2] / "static" / "jobs" / "voices"


@dataclass(frozen=True)
class Pace:
    """How fast a voice speaks, in seconds.

    Attributes:
        letter: Of a letter; of a character, where one is a syllable.
        digit: Of a digit other than zero, read as part of a number.
        start: Of what is there whatever is said.
        tolerance: Of a length that is counted by it, as a share: a tenth where it was measured.
    """

    letter: float
    digit: float
    start: float
    tolerance: float = 0.1


@dataclass(frozen=True)
class Voice:
    """A voice.

    Attributes:
        id: Its name in requests.
        language: A BCP 47 tag.
        gender: `female` or `male`.
        engine: The name of what speaks.
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

    @property
    def sample(self) -> str | None:
        """The static file in which it is heard; None where `ops.voice_samples` wasn't run for it."""
        file = SAMPLES / f"{self.id}.mp3"
        return f"jobs/voices/{file.name}" if file.exists() else None


LATIN = ("LATIN",)
ESPEAK = "espeak"
# Fitted to what 380 sentences take, of all these voices: nine in ten of those of three seconds and more are
# within a tenth, the others within 15 %.
_LANGUAGES = (
    ("en-us", "en-US", LATIN, 0.0615, 0.44),
    ("de", "de-DE", LATIN, 0.0578, 0.46),
    ("es", "es-ES", LATIN, 0.0611, 0.39),
    ("fr", "fr-FR", LATIN, 0.0471, 0.27),
    ("it", "it-IT", LATIN, 0.0604, 0.41),
    ("pt-br", "pt-BR", LATIN, 0.0649, 0.42),
    ("hi", "hi-IN", ("DEVANAGARI",), 0.1174, 0.34),
    ("cmn", "zh-CN", ("CJK",), 0.2325, 0.32),
)
_GENDERS = (("male", "m3", 0.05), ("female", "f2", 0.13))

ESPEAK_VOICES = {
    f"{ESPEAK}-{language.lower()}-{gender}": Voice(
        f"{ESPEAK}-{language.lower()}-{gender}",
        language,
        gender,
        ESPEAK,
        f"{name}+{variant}",
        scripts,
        Pace(letter, digit, start),
    )
    for name, language, scripts, letter, digit in _LANGUAGES
    for gender, variant, start in _GENDERS
}

KOKORO = "kokoro"
# By the first letter of the published names, the second of which is f or m. Usual paces of such speech: none
# was measured, and published voices differ by half. Japanese and Mandarin are left out, for eSpeak doesn't
# have the phonemes that the network learned for them.
_KOKORO_LANGUAGES = {
    "a": ("en-US", LATIN, Pace(0.062, 0.44, 0.1, 0.5)),
    "b": ("en-GB", LATIN, Pace(0.062, 0.44, 0.1, 0.5)),
    "e": ("es-ES", LATIN, Pace(0.061, 0.39, 0.1, 0.5)),
    "f": ("fr-FR", LATIN, Pace(0.055, 0.27, 0.1, 0.5)),
    "h": ("hi-IN", ("DEVANAGARI",), Pace(0.117, 0.34, 0.1, 0.5)),
    "i": ("it-IT", LATIN, Pace(0.060, 0.41, 0.1, 0.5)),
    "p": ("pt-BR", LATIN, Pace(0.065, 0.42, 0.1, 0.5)),
}
_KOKORO_NAMES = {
    "af": "heart alloy aoede bella jessica kore nicole nova river sarah sky",
    "am": "michael adam echo eric fenrir liam onyx puck santa",
    "bf": "alice emma isabella lily",
    "bm": "daniel fable george lewis",
    "ef": "dora",
    "em": "alex santa",
    "ff": "siwis",
    "hf": "alpha beta",
    "hm": "omega psi",
    "if": "sara",
    "im": "nicola",
    "pf": "dora",
    "pm": "alex santa",
}


def _kokoro_voice(name: str) -> Voice:
    language, scripts, pace = _KOKORO_LANGUAGES[name[0]]
    gender = "female" if name[1] == "f" else "male"
    return Voice(f"{KOKORO}-{name}", language, gender, KOKORO, name, scripts, pace)


KOKORO_VOICES = {
    voice.id: voice
    for kind, names in _KOKORO_NAMES.items()
    for voice in (_kokoro_voice(f"{kind}_{name}") for name in names.split())
}


@dataclass(frozen=True)
class Engine:
    """What says texts.

    Attributes:
        program: A Python file, run in a process of its own; espeak.py says what it reads and writes.
        voices: By id, the default first.
    """

    program: Path
    voices: Mapping[str, Voice]


OURS = {
    ESPEAK: Engine(Path(__file__).with_name("espeak.py"), ESPEAK_VOICES),
    KOKORO: Engine(Path(__file__).with_name("kokoro.py"), KOKORO_VOICES),
}
ENTRY_POINTS = "avatar_api.speech_engines"


@cache
def engine_of(name: str) -> Engine | None:
    """Ours, or the `Engine` to which an installed package's entry point of that name leads."""
    if name in OURS:
        return OURS[name]
    found = entry_points(group=ENTRY_POINTS, name=name)
    engine: Engine | None = next((entry.load() for entry in found), None)
    return engine


def offered() -> Mapping[str, Voice]:
    """The voices that requests may name, the default first; none where no engine is set up."""
    engine = engine_of(settings.SPEECH_ENGINE)
    return engine.voices if engine else {}
