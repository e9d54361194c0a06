"""What each voice sounds like: a sentence of a few seconds, as GET /v1/voices links to it.

    SPEECH_ENGINE=espeak python -m ops.voice_samples    writes jobs/static/jobs/voices/*.mp3

For the voices of the engine that is set up; the image collects them.
"""

import os
import tempfile
from pathlib import Path

import av

SENTENCES = {
    "en": "Hello! This is how I sound.",
    "de": "Hallo! So klinge ich.",
    "es": "¡Hola! Así suena mi voz.",
    "fr": "Bonjour ! Voici ma voix.",
    "it": "Ciao! Questa è la mia voce.",
    "pt": "Olá! Esta é a minha voz.",
    "hi": "नमस्ते! मेरी आवाज़ ऐसी है।",
    "zh": "你好！这是我的声音。",
}
BITS_PER_SECOND = 32_000


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "avatar_api.settings.local")
    import django

    django.setup()
    from jobs.intake.speech import synthesis, texts, voices

    voices.SAMPLES.mkdir(exist_ok=True)
    for voice in voices.offered().values():
        lines = texts.read_lines(SENTENCES[voice.language[:2]], voice)
        with tempfile.TemporaryDirectory() as folder:
            spoken = Path(folder) / "spoken.wav"
            synthesis.speak(texts.Spoken(tuple(lines)), spoken, max_seconds=10, time_limit=60)
            encode(spoken, voices.SAMPLES / f"{voice.id}.mp3")


def encode(source: Path, target: Path) -> None:
    with av.open(source) as spoken, av.open(target, "w") as file:
        stream = file.add_stream("mp3", rate=24_000, layout="mono")
        stream.bit_rate = BITS_PER_SECOND
        for frame in spoken.decode(audio=0):
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


if __name__ == "__main__":
    main()
