"""Turns any accepted recording into a 16-bit FLAC, at its own loudness and rate (48 kHz at most)."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, groupby
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from jobs.intake.probes.base import Channel, IntakeError, IntakeLimits, Measurements
from jobs.intake.probes.channels import ChannelStatistics, keep_channel
from jobs.intake.probes.containers import decode, decoders_of, open_container
from jobs.intake.probes.timeline import keep_time

MIN_SECONDS = 0.3
MIN_RATE, MAX_RATE = 4_000, 48_000
SILENCE = 10 ** (-60 / 20)
"""A recording whose peak lies below −60 dB of full scale holds no speech."""
FULL_SCALE = 32_768
CODECS = (
    *("aac", "alac", "flac", "mp3", "opus", "vorbis", "amr_nb", "amr_wb"),
    *("adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms"),
)
UNCOMPRESSED = "pcm_"
TIMED = ("matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "ogg")
"""Containers that hold time stamps; those of other files are computed from what was decoded."""
BLOCK_SAMPLES = 4096


def _is_accepted(codec: str) -> bool:
    return codec in CODECS or codec.startswith(UNCOMPRESSED)


DECODERS = decoders_of(_is_accepted)


class Tally:
    """Counts what was really decoded and written, and stops at the limit: headers may say anything."""

    def __init__(self, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        self._seconds = Fraction(0)
        self.num_samples = 0
        self.peak = 0
        self.channels: ChannelStatistics | None = None
        """Of a stereo recording."""

    def decoded(self, frame: av.AudioFrame) -> None:
        self._seconds += Fraction(frame.samples, frame.sample_rate)
        if self._seconds > self._max_seconds:
            raise IntakeError(
                "audio_too_long", f"The recording is longer than {self._max_seconds:g} seconds."
            )

    def written(self, frame: av.AudioFrame) -> None:
        samples = frame.to_ndarray()
        self.num_samples += frame.samples
        self.peak = max(self.peak, int(np.abs(samples.astype(np.int32)).max()))
        if self.channels is not None:
            self.channels.add(samples.astype(np.int16, copy=False).reshape(-1, 2))


def probe_speech(source: Path, out: Path, limits: IntakeLimits) -> Measurements:
    """Write the first sound track of `source` to `out`, as mono or stereo.

    Of a stereo recording whose channels cancel each other only the louder one is kept, as whoever listens to
    it in mono would hear nothing.

    Raises:
        IntakeError: `audio_unreadable`, `audio_too_long`, `audio_too_short`, `audio_silent`.
    """
    tally = Tally(limits.max_speech_seconds)
    with open_container(source, DECODERS, "audio_unreadable") as container:
        frames = _checked(container, _sound_track(container), tally)
        first = next(frames, None)
        if first is None:
            raise IntakeError("audio_unreadable", "The file contains no audio.")
        rate = _write(out, first, frames, tally)
    kept = _kept_channel(limits.channel, tally)
    if kept is not None:
        tally.peak = keep_channel(out, kept)
    _judge(tally, rate, kept)
    return Measurements(
        duration_seconds=tally.num_samples / rate,
        num_samples=tally.num_samples,
        sampling_rate=rate,
        channel=kept,
        separate_speakers=kept is None and tally.channels is not None and tally.channels.are_separate,
    )


def _kept_channel(wanted: Channel, tally: Tally) -> Channel | None:
    """The only channel that is kept, or None to keep all."""
    if wanted != Channel.ALL:
        if tally.channels is None:
            raise IntakeError("audio_unreadable", "The recording has one channel; a split needs two.")
        return wanted
    return tally.channels.louder if tally.channels is not None and tally.channels.cancel else None


def _sound_track(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        raise IntakeError("audio_unreadable", "The file has no audio track.")
    track = container.streams.audio[0]
    codec = track.codec.canonical_name
    if not _is_accepted(codec):
        detail = f"The audio codec {codec} is not supported: convert it to WAV, MP3 or M4A."
        raise IntakeError("audio_unreadable", detail)
    return track


def _checked(container: InputContainer, track: AudioStream, tally: Tally) -> Iterator[av.AudioFrame]:
    frames = decode(container, track, "audio_unreadable")
    for frame in keep_time(frames) if container.format.name in TIMED else frames:
        samples = frame.to_ndarray()
        if samples.dtype.kind == "f" and not np.isfinite(samples).all():
            raise IntakeError("audio_unreadable", "The recording contains samples that are not numbers.")
        tally.decoded(frame)
        yield frame


def _write(out: Path, first: av.AudioFrame, rest: Iterator[av.AudioFrame], tally: Tally) -> int:
    """Encode all frames and return the sampling rate."""
    if first.sample_rate < MIN_RATE:
        raise IntakeError("audio_unreadable", f"The sampling rate is below {MIN_RATE} Hz.")
    rate = min(first.sample_rate, MAX_RATE)
    layout = "mono" if first.layout.nb_channels == 1 else "stereo"
    tally.channels = ChannelStatistics() if layout == "stereo" else None
    with av.open(str(out), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=rate, layout=layout, format="s16")
        for frame in _resampled(first, rest, layout, rate):
            tally.written(frame)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return rate


def _resampled(
    first: av.AudioFrame, rest: Iterator[av.AudioFrame], layout: str, rate: int
) -> Iterator[av.AudioFrame]:
    """A recording may change its format on the way; each part gets a resampler of its own."""
    for _, part in groupby(chain([first], rest), key=_form):
        resampler = AudioResampler("s16", layout, rate, frame_size=BLOCK_SAMPLES)
        for frame in part:
            frame.pts = None
            yield from resampler.resample(frame)
        yield from resampler.resample(None)


def _form(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _judge(tally: Tally, rate: int, kept: Channel | None) -> None:
    seconds = tally.num_samples / rate
    if seconds < MIN_SECONDS:
        raise IntakeError(
            "audio_too_short",
            f"The recording lasts {seconds:.2f} seconds; at least {MIN_SECONDS} are required.",
        )
    if tally.peak < SILENCE * FULL_SCALE:
        what = f"{kept} channel" if kept else "recording"
        raise IntakeError("audio_silent", f"The {what} is silent: its peak lies below -60 dB of full scale.")
