"""A program that says lines with eSpeak NG: it reads them from its standard input and writes a WAV file.

It runs by itself, in a process of its own, and imports nothing of the project: eSpeak NG is under the GPL,
optional, and C code that reads what strangers wrote. Its input is JSON: `out`, the file to write;
`speakers`, how many channels that has; `max_seconds`, when to give up; and `lines`, each with `voice`
(eSpeak's name), `text`, `pause` in seconds, and `speaker` from 1 on.
"""

import ctypes
import json
import resource
import sys
import wave
from collections.abc import Callable
from typing import Any

SYNCHRONOUS, UTF_8 = 2, 1  # AUDIO_OUTPUT_SYNCHRONOUS, espeakCHARS_UTF8
SAMPLE_BYTES = 2
CPU_SECONDS, MEMORY_BYTES = 120, 1 << 30
TOO_LONG = 3
"""The exit status where `max_seconds` were reached."""

Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """The library, which holds one voice at a time."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        import espeakng_loader  # type: ignore[import-untyped]

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.sampling_rate: int = self._library.espeak_Initialize(SYNCHRONOUS, 0, data, 0)
        self._take = take
        self._callback = Callback(self._on_samples)  # Held here, or it would be freed while C calls it.
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, voice: str, text: str) -> None:
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise SystemExit(f"eSpeak NG has no voice {voice}")
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, UTF_8, None, None)
        self._library.espeak_Synchronize()

    def _on_samples(self, samples: int | None, count: int, _events: int) -> int:
        if samples and count:
            self._take(ctypes.string_at(samples, SAMPLE_BYTES * count))
        return 0


class Track:
    """The file, in which one of the speakers speaks and the other is silent."""

    def __init__(self, file: wave.Wave_write, speakers: int, max_seconds: float) -> None:
        self._file = file
        self._speakers = speakers
        self._left = max_seconds
        self.speaker = 1

    def write(self, samples: bytes) -> None:
        self._left -= len(samples) / SAMPLE_BYTES / self._file.getframerate()
        if self._left < 0:
            raise SystemExit(TOO_LONG)
        if self._speakers == 1:
            self._file.writeframesraw(samples)
            return
        frames = bytearray(2 * len(samples))
        for byte in range(SAMPLE_BYTES):
            frames[SAMPLE_BYTES * (self.speaker - 1) + byte :: 2 * SAMPLE_BYTES] = samples[byte::SAMPLE_BYTES]
        self._file.writeframesraw(bytes(frames))

    def write_silence(self, seconds: float) -> None:
        self.write(bytes(SAMPLE_BYTES * round(seconds * self._file.getframerate())))


def main(request: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    pieces: list[bytes] = []
    espeak = Espeak(pieces.append)
    with wave.open(request["out"], "wb") as file:
        file.setnchannels(request["speakers"])
        file.setsampwidth(SAMPLE_BYTES)
        file.setframerate(espeak.sampling_rate)
        track = Track(file, request["speakers"], request["max_seconds"])
        for line in request["lines"]:
            track.speaker = line["speaker"]
            track.write_silence(line["pause"])
            pieces.clear()
            espeak.say(line["voice"], line["text"])
            track.write(b"".join(pieces))


if __name__ == "__main__":
    main(json.load(sys.stdin))
