"""A program that says lines with Kokoro-82M: it reads them from its standard input and writes a WAV file.

It runs by itself, in a process and if need be an environment of its own, and imports nothing of the project.
Its input is that of espeak.py, and `models`, the folder that `python -m gpu_worker.model_store speech`
prepared; it reads each byte of a file before it trusts one. Nothing is downloaded.
"""

import hashlib
import json
import re
import resource
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODEL, VOICES = "kokoro/kokoro-v1.0.onnx", "kokoro/voices-v1.0.bin"
RATE = 24_000
MEMORY_BYTES = 8 << 30
TOO_LONG = 3
"""The exit status where `max_seconds` were reached."""
# The network draws noise. One seed and one number of threads, so that a text always sounds the same.
SEED, THREADS = 0, 2
LEVEL = 0.1
"""Of what isn't a pause, as RMS: -20 dBFS, which for speech is about -20 LUFS."""
BLOCK = RATE // 10

# A voice's first letter is its language: how eSpeak calls it.
LANGUAGES = {"a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "p": "pt-br"}
# From eSpeak's phonemes to those that the network was trained with: misaki's tables. Long ones first.
ENGLISH = (
    *(("ʔˌn\u0329", "ʔn"), ("ʔn\u0329", "ʔn"), ("a^ɪ", "I"), ("a^ʊ", "W"), ("d^ʒ", "ʤ"), ("e^ɪ", "A")),
    *(("t^ʃ", "ʧ"), ("ɔ^ɪ", "Y"), ("ə^l", "ᵊl"), ("ʲo", "jo"), ("ʲə", "jə"), ("e", "A"), ("ʲ", "")),
    *(("ɚ", "əɹ"), ("r", "ɹ"), ("x", "k"), ("ç", "k"), ("ɐ", "ə"), ("ɬ", "l"), ("\u0303", "")),
)
AMERICAN = (("o^ʊ", "O"), ("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɪə", "iə"), ("ː", ""))
BRITISH = (("A^ə", "ɛː"), ("i^ə", "ɪə"), ("ə^ʊ", "Q"))
ALWAYS_ENGLISH = (("o", "ɔ"), ("ɾ", "T"), ("ʔ", "t"), ("^", ""))
OTHERS = (
    *(("a^ɪ", "I"), ("a^ʊ", "W"), ("d^z", "ʣ"), ("d^ʒ", "ʤ"), ("e^ɪ", "A"), ("o^ʊ", "O"), ("ə^ʊ", "Q")),
    *(("s^s", "S"), ("t^s", "ʦ"), ("t^ʃ", "ʧ"), ("ɔ^ɪ", "Y"), ("^", ""), ("-", "")),
)
SYLLABIC = re.compile(r"(\S)\u0329")

Samples = NDArray[np.float32]


class Kokoro:
    """The network with its voices."""

    def __init__(self, models: Path) -> None:
        import onnxruntime
        from kokoro_onnx import Kokoro as Network

        require_whole(models)
        onnxruntime.set_seed(SEED)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(
            str(models / MODEL), options, providers=["CPUExecutionProvider"]
        )
        self._network = Network.from_session(session, str(models / VOICES))

    def say(self, voice: str, text: str) -> Samples:
        """A line at a usual loudness; nothing, where there is nothing to say."""
        spoken = phonemes(voice[0], text)
        if not self._network.tokenizer.known(spoken).strip():
            return np.zeros(0, np.float32)
        sound, _ = self._network.create(spoken, voice, is_phonemes=True)
        return levelled(sound)


def require_whole(models: Path) -> None:
    """Read every byte of what the manifest names; end where one differs."""
    files = json.loads((models / "manifest.json").read_bytes())["files"]
    for name in (MODEL, VOICES):
        with (models / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != files[name]["sha256"]:
                raise SystemExit(f"{name} has other bytes than it was prepared with")


def phonemes(language: str, text: str) -> str:
    """A text in the network's alphabet.

    Args:
        language: The first letter of a voice.
        text: One paragraph.
    """
    from phonemizer.backend import EspeakBackend

    espeak = EspeakBackend(
        LANGUAGES[language],
        preserve_punctuation=True,
        with_stress=True,
        tie="^",
        language_switch="remove-flags",
    )
    said = "".join(espeak.phonemize([text])).strip()
    if language not in "ab":
        return _replaced(said, OTHERS)
    said = SYLLABIC.sub(r"ᵊ\1", _replaced(said, ENGLISH)).replace("\u0329", "")
    return _replaced(_replaced(said, AMERICAN if language == "a" else BRITISH), ALWAYS_ENGLISH)


def _replaced(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for old, new in pairs:
        text = text.replace(old, new)
    return text


def levelled(sound: Samples) -> Samples:
    """The sound at `LEVEL`, whichever the voice's own is."""
    blocks = np.pad(sound, (0, -len(sound) % BLOCK)).reshape(-1, BLOCK)
    power = (blocks**2).mean(axis=1)
    heard = power[power >= power.max() / 100]
    level = np.sqrt(heard.mean())
    return np.clip(sound * (LEVEL / level), -1, 1) if level else sound


def main(request: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    kokoro = Kokoro(Path(request["models"]))
    tracks, left = [], RATE * request["max_seconds"]
    for line in request["lines"]:
        pause = np.zeros(round(RATE * line["pause"]), np.float32)
        sound = np.concatenate([pause, kokoro.say(line["voice"], line["text"])])
        left -= len(sound)
        if left < 0:
            raise SystemExit(TOO_LONG)
        track = np.zeros((len(sound), request["speakers"]), "<i2")
        track[:, line["speaker"] - 1] = np.round(32767 * sound)
        tracks.append(track)
    with wave.open(request["out"], "wb") as file:
        file.setnchannels(request["speakers"])
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.concatenate(tracks).tobytes())


if __name__ == "__main__":
    main(json.load(sys.stdin))
