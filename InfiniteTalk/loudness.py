"""Loudness of speech after ITU-R BS.1770-4, mono.

The K-weighting is built for the sampling rate at hand from its two biquads (a high shelf of +4 dB at 1.5 kHz
and a high pass at 38 Hz, designed with the Audio EQ Cookbook's formulas), as the meter does that the
published model was trained with.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]

BLOCK_SECONDS = 0.4
HOP_SECONDS = 0.1
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
INAUDIBLE_LUFS = -100.0
"""Below this a recording is silence: bringing it to a target would only amplify rounding noise."""

_TAPS = 4096  # At 16 kHz the high pass has decayed to 1e-26 of its response by then.
_SEGMENT = 1 << 16


def normalize_loudness(
    speech: FloatArray, target_lufs: float = -23.0, sampling_rate: int = 16_000
) -> npt.NDArray[np.float32]:
    """Scale mono `speech` [n] to an integrated loudness of `target_lufs`; silence stays as it is.

    There is no limiter: samples of the result may exceed 1.
    """
    loudness = integrated_loudness(speech, sampling_rate)
    gain = 10.0 ** ((target_lufs - loudness) / 20.0) if loudness >= INAUDIBLE_LUFS else 1.0
    return (speech * gain).astype(np.float32)


def integrated_loudness(speech: FloatArray, sampling_rate: int = 16_000) -> float:
    """Gated loudness of mono `speech` [n] in LUFS; `-inf` for silence.

    A recording shorter than one gating block of 0.4 s is measured as one block of its own length.
    """
    power = _block_power(_k_weighted_energy(speech, sampling_rate), sampling_rate)
    with np.errstate(divide="ignore"):
        loudness = _lufs(power)
        audible = loudness >= ABSOLUTE_GATE_LUFS
        if not audible.any():
            return float("-inf")
        relative_gate = _lufs(power[audible].mean()) + RELATIVE_GATE_LU
        return float(_lufs(power[audible & (loudness > relative_gate)].mean()))


def _lufs(power: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return -0.691 + 10.0 * np.log10(power)


def _block_power(energy: npt.NDArray[np.float64], sampling_rate: int) -> npt.NDArray[np.float64]:
    """Mean power of each gating block; `energy` [n + 1] is the running sum of squares."""
    num_samples = len(energy) - 1
    duration = num_samples / sampling_rate
    if duration < BLOCK_SECONDS:
        return energy[-1:] / num_samples
    count = round((duration - BLOCK_SECONDS) / HOP_SECONDS) + 1
    starts = (HOP_SECONDS * np.arange(count) * sampling_rate).astype(int)
    ends = np.minimum(starts + int(BLOCK_SECONDS * sampling_rate), num_samples)
    return (energy[ends] - energy[starts]) / (BLOCK_SECONDS * sampling_rate)


def _k_weighted_energy(speech: FloatArray, sampling_rate: int) -> npt.NDArray[np.float64]:
    """Running sum of squares [n + 1] of the K-weighted signal, convolved segment by segment."""
    response = np.fft.rfft(_impulse_response(sampling_rate), 2 * _SEGMENT)
    energy = np.zeros(len(speech) + 1)
    for start in range(0, len(speech), _SEGMENT):
        before = min(start, _TAPS)
        segment = speech[start - before : start + _SEGMENT].astype(np.float64)
        weighted = np.fft.irfft(np.fft.rfft(segment, 2 * _SEGMENT) * response)[before : len(segment)]
        energy[start + 1 : start + 1 + len(weighted)] = weighted**2
    return np.cumsum(energy, out=energy)


@lru_cache
def _impulse_response(sampling_rate: int) -> npt.NDArray[np.float64]:
    response = np.zeros(_TAPS)
    response[0] = 1.0
    for numerator, denominator in (_high_shelf(sampling_rate), _high_pass(sampling_rate)):
        response = _biquad(numerator, denominator, response)
    return response


def _biquad(
    numerator: npt.NDArray[np.float64], denominator: npt.NDArray[np.float64], signal: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    b0, b1, b2 = numerator / denominator[0]
    _, a1, a2 = denominator / denominator[0]
    filtered = np.empty_like(signal)
    state1 = state2 = 0.0
    for index, sample in enumerate(signal):
        filtered[index] = out = b0 * sample + state1
        state1, state2 = b1 * sample - a1 * out + state2, b2 * sample - a2 * out
    return filtered


def _high_shelf(
    sampling_rate: int, gain_db: float = 4.0, quality: float = 0.5**0.5, frequency: float = 1500.0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    a = 10.0 ** (gain_db / 40.0)
    angle = 2.0 * np.pi * frequency / sampling_rate
    cosine, alpha = np.cos(angle), np.sin(angle) / (2.0 * quality)
    slope = 2.0 * np.sqrt(a) * alpha
    numerator = a * np.array(
        [
            (a + 1) + (a - 1) * cosine + slope,
            -2.0 * ((a - 1) + (a + 1) * cosine),
            (a + 1) + (a - 1) * cosine - slope,
        ]
    )
    denominator = np.array(
        [
            (a + 1) - (a - 1) * cosine + slope,
            2.0 * ((a - 1) - (a + 1) * cosine),
            (a + 1) - (a - 1) * cosine - slope,
        ]
    )
    return numerator, denominator


def _high_pass(
    sampling_rate: int, quality: float = 0.5, frequency: float = 38.0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    angle = 2.0 * np.pi * frequency / sampling_rate
    cosine, alpha = np.cos(angle), np.sin(angle) / (2.0 * quality)
    numerator = np.array([(1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2])
    return numerator, np.array([1 + alpha, -2.0 * cosine, 1 - alpha])
