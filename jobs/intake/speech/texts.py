"""Texts that are to be said: as a voice gets them, and how long it takes to say them."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from jobs.intake.speech.voices import Voice

MAX_CHARACTERS = 50_000
MAX_PAUSE = 5.0
BETWEEN_LINES = 0.3
"""Seconds between two lines of a dialogue that say nothing of it."""

SECONDS_OF_COMMA, SECONDS_OF_STOP, SECONDS_OF_ZERO = 0.26, 0.39, 0.09
PAUSE = re.compile(r"\[pause\s+([0-9]{1,2}(?:\.[0-9]{1,3})?)\s*s\]", re.IGNORECASE)
TAG = re.compile(r"\[\s*pause[^\]]{0,40}\]", re.IGNORECASE)
COMMA, STOP = re.compile(r"[,;:、，；：](?!\d)"), re.compile(r"(?:[.!?](?=\s|$)|[。！？।])+")
# Control characters, emoji and other pictures, and what Unicode has not assigned: no voice says them.
UNSAID = {"Cc", "Cf", "Cn", "Co", "Cs", "So", "Sk"}
OWN_SCRIPT_SHARE = 0.5


class TextError(Exception):
    """A text that can't be said, with a code of the contract and a sentence for the user."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class Line:
    """What one speaker says without a break.

    Attributes:
        voice: The voice's id.
        text: What it says: one paragraph, without anything that isn't said. May be empty.
        pause: Seconds of silence before.
        speaker: 1 or 2.
    """

    voice: str
    text: str
    pause: float = 0.0
    speaker: int = 1


@dataclass(frozen=True)
class Spoken:
    """Speech that is still to be made.

    Attributes:
        lines: In their order.
        speakers: How many tracks there are: each is silent while the other one speaks.
    """

    lines: tuple[Line, ...]
    speakers: int = 1

    @property
    def characters(self) -> int:
        return sum(len(line.text) for line in self.lines)

    @property
    def voices(self) -> list[str]:
        """By speaker."""
        by_speaker = {line.speaker: line.voice for line in reversed(self.lines)}
        return [by_speaker[speaker] for speaker in sorted(by_speaker)]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Spoken":
        data = json.loads(text)
        return cls(tuple(Line(**line) for line in data["lines"]), data["speakers"])


def read_lines(text: str, voice: Voice, *, pause: float = 0.0, speaker: int = 1) -> list[Line]:
    """A text as lines: a new one after each `[pause 0.5s]`.

    Raises:
        TextError: `invalid` for a pause that can't be, `unspeakable` where there is nothing to say,
            `wrong_script` for a text that is mostly in letters that the voice can't read.
    """
    pieces = PAUSE.split(text)
    lines = []
    for index in range(0, len(pieces), 2):
        if TAG.search(pieces[index]):
            raise TextError("invalid", "Pauses are written as [pause 0.5s].")
        before = float(pieces[index - 1]) if index else pause
        if before > MAX_PAUSE:
            raise TextError("invalid", f"A pause may last at most {MAX_PAUSE:.0f} s.")
        lines.append(Line(voice.id, said(pieces[index]), before, speaker))
    _refuse_unspeakable("".join(line.text for line in lines), voice)
    return lines


def said(text: str) -> str:
    """The text without what no voice says, on one line."""
    kept = (
        character if unicodedata.category(character) not in UNSAID else " "
        for character in unicodedata.normalize("NFC", text)
    )
    return " ".join("".join(kept).split())


def _refuse_unspeakable(text: str, voice: Voice) -> None:
    letters = [character for character in text if character.isalpha()]
    if not letters and not any(character.isdigit() for character in text):
        raise TextError("unspeakable", "The text has neither letters nor digits.")
    own = sum(unicodedata.name(letter, "").startswith(voice.scripts) for letter in letters)
    if own < OWN_SCRIPT_SHARE * len(letters):
        detail = f"{voice.id} reads {voice.language}; most letters of the text are of another script."
        raise TextError("wrong_script", detail)


def seconds_of(spoken: Spoken, voices: Mapping[str, Voice]) -> float:
    """How long the speech will be, give or take `tolerance_of`: counted from the texts."""
    return sum(line.pause + _seconds_of(line.text, voices[line.voice]) for line in spoken.lines)


def tolerance_of(spoken: Spoken, voices: Mapping[str, Voice]) -> float:
    """How much longer or shorter than `seconds_of` the speech may be, as a share."""
    return max(voices[line.voice].pace.tolerance for line in spoken.lines)


def _seconds_of(text: str, voice: Voice) -> float:
    return sum(_parts_of(text, voice))


def _parts_of(text: str, voice: Voice) -> Iterator[float]:
    if text:
        yield voice.pace.start
    yield voice.pace.letter * sum(character.isalpha() for character in text)
    zeros = text.count("0")
    yield SECONDS_OF_ZERO * zeros
    yield voice.pace.digit * (sum(character.isdigit() or character in "$€£%" for character in text) - zeros)
    yield SECONDS_OF_COMMA * len(COMMA.findall(text))
    # The pause after the last word is not spoken.
    yield SECONDS_OF_STOP * max(0, len(STOP.findall(text)) - 1)
