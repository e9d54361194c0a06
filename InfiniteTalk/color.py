"""Colour correction: the frames of a window take on the colours of a reference picture.

Each window starts from the last frames of the one before, so small shifts of colour add up. As in E. Reinhard
et al., "Color Transfer between Images" (2001), mean and deviation of every frame's channels are brought to
those of the reference, here in CIE L*a*b* (D65, 2° observer).
"""

import torch

_XYZ_FROM_RGB = torch.tensor(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]],
    dtype=torch.float64,
)
_RGB_FROM_XYZ = torch.linalg.inv(_XYZ_FROM_RGB)
_D65 = (0.95047, 1.0, 1.08883)


def match_color(frames: torch.Tensor, reference: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """Bring the colours of each frame to those of the reference.

    The frames are worked on one by one: the memory needed does not depend on their number.

    Args:
        frames: Float32 [1, 3, F, H, W], RGB in [-1, 1]; values beyond are clipped.
        reference: Float32 [1, 3, 1, H', W'], RGB in [-1, 1].
        strength: From 0, which leaves the colours alone, to 1.

    Returns:
        Float32 [1, 3, F, H, W] in [-1, 1].
    """
    mean, deviation = _statistics(_lab_from_rgb(_to_unit(reference[0, :, 0])))
    corrected = torch.empty_like(frames)
    for index, frame in enumerate(frames[0].unbind(dim=1)):
        original = _to_unit(frame)
        matched = _match_frame(original, mean, deviation)
        corrected[0, :, index] = ((1 - strength) * original + strength * matched) * 2 - 1
    return corrected


def _match_frame(rgb: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
    lab = _lab_from_rgb(rgb)
    own_mean, own_deviation = _statistics(lab)
    # A flat channel has no contrast that could be stretched: it takes the mean alone.
    gain = torch.where(own_deviation == 0, 0, deviation / own_deviation)
    return _rgb_from_lab((lab - own_mean) * gain + mean)


def _statistics(lab: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and population deviation [3, 1, 1], summed in float64: a flat channel deviates by exactly 0."""
    deviation, mean = torch.std_mean(lab.double(), dim=(1, 2), correction=0, keepdim=True)
    return mean.float(), deviation.float()


def _to_unit(rgb: torch.Tensor) -> torch.Tensor:
    return ((rgb + 1) / 2).clamp(0, 1)


def _lab_from_rgb(rgb: torch.Tensor) -> torch.Tensor:
    """SRGB [3, H, W] in [0, 1] → L*a*b* [3, H, W]."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = _mix(_XYZ_FROM_RGB, linear) / _white(rgb)
    x, y, z = torch.where(xyz > 0.008856, xyz ** (1 / 3), 7.787 * xyz + 16 / 116)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _rgb_from_lab(lab: torch.Tensor) -> torch.Tensor:
    """L*a*b* [3, H, W] → sRGB [3, H, W], clipped to [0, 1]."""
    lightness, a, b = lab
    y = (lightness + 16) / 116
    xyz = torch.stack([a / 500 + y, y, (y - b / 200).clamp(min=0)])
    xyz = torch.where(xyz > 0.2068966, xyz**3, (xyz - 16 / 116) / 7.787) * _white(lab)
    linear = _mix(_RGB_FROM_XYZ, xyz)
    rgb = torch.where(linear > 0.0031308, 1.055 * linear.clamp(min=0) ** (1 / 2.4) - 0.055, linear * 12.92)
    return rgb.clamp(0, 1)


def _mix(matrix: torch.Tensor, channels: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ij,jhw->ihw", matrix.to(channels), channels)


def _white(channels: torch.Tensor) -> torch.Tensor:
    return channels.new_tensor(_D65)[:, None, None]
