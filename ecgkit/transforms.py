"""Batched torch augmentations of ECGs: crops, lost leads and parts, gain, wander, noise, a turn of the heart vector.

Tensors are `(batch, n_leads, sig_len)`; every `generator` is the source of randomness, on the CPU. Noise that
electrodes pick up is made at the nine of them, so that the leads keep Einthoven's law.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

from ecgkit.errors import EcgkitError
from ecgkit.leads import DOWER, FROM_ELECTRODES, INVERSE_DOWER, LIMB, N_LEADS


def random_crop(x: Tensor, crop_len: int, generator: torch.Generator | None = None) -> Tensor:
    """Cut one window of `crop_len` samples out of each ECG, at its own random place.

    A signal that is shorter than the crop raises `EcgkitError`: it is never padded.
    """
    _check(x.shape[-1], crop_len)
    return crop_at(x, torch.randint(0, x.shape[-1] - crop_len + 1, (len(x),), generator=generator), crop_len)


def crop_at(x: Tensor, start: Tensor, crop_len: int) -> Tensor:
    """Cut the window of `crop_len` samples out of each ECG that begins at its own `start`, `(batch,)`."""
    places = (start[:, None, None] + torch.arange(crop_len)).expand(*x.shape[:2], crop_len)
    return x.gather(-1, places.to(x.device))


def every_crop(x: Tensor, crop_len: int) -> Tensor:
    """Cut the fewest evenly spaced windows that overlap by at least half and cover the whole ECG.

    They are `(batch, n_crops, n_leads, crop_len)`; a signal that is shorter than one raises `EcgkitError`.
    """
    sig_len = x.shape[-1]
    _check(sig_len, crop_len)
    spare, hop = sig_len - crop_len, max(crop_len // 2, 1)
    n_crops = -(-spare // hop) + 1
    starts = [round(spare * k / max(n_crops - 1, 1)) for k in range(n_crops)]
    return torch.stack([x[..., start:start + crop_len] for start in starts], dim=1)


def _check(sig_len: int, crop_len: int) -> None:
    if not 0 < crop_len <= sig_len:
        raise EcgkitError(f"a signal of {sig_len} samples has no window of {crop_len}; give a longer recording")


def uniform(x: Tensor, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Draw from 0 to 1, on the device of `x`."""
    return torch.rand(shape, generator=generator).to(x.device)


def normal(x: Tensor, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Draw from the standard normal distribution, on the device of `x`."""
    return torch.randn(shape, generator=generator).to(x.device)


def gaussian(cutoff: float, fs: float, sigmas: float = 4.0) -> Tensor:
    """Taps of a low-pass without ripples that halves the power at `cutoff` Hz and ends `sigmas` from its centre.

    Where few samples make the Gaussian, as at a cutoff of a third of the rate, it takes less than half.
    """
    sigma = fs * math.sqrt(math.log(2)) / (2 * math.pi * cutoff)
    reach = max(1, math.ceil(sigmas * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    return taps / taps.sum()


def filtered(x: Tensor, taps: Tensor) -> Tensor:
    """`(n, n_leads, sig_len)` through a filter of an odd number of taps; beyond its ends it goes on as it ended."""
    reach = len(taps) // 2
    padded = pad(x, (reach, reach), mode="replicate").flatten(0, 1)[:, None]
    return conv1d(padded, taps[None, None])[:, 0].unflatten(0, x.shape[:2])


def blank_group(x: Tensor, probability: float = 0.5, generator: torch.Generator | None = None) -> Tensor:
    """Lose, in each ECG `(batch, 12, sig_len)` with `probability`, either all limb leads or all chest leads."""
    _check_share("probability", probability)
    if x.shape[1] != N_LEADS:
        raise EcgkitError(f"signal of shape {tuple(x.shape)}; groups of leads need (batch, {N_LEADS}, sig_len)")
    chance, which = uniform(x, (2, len(x), 1, 1), generator)
    is_limb = (torch.arange(N_LEADS, device=x.device) < len(LIMB))[:, None]
    return x.masked_fill((chance < probability) & (is_limb == (which < 0.5)), 0.0)


def keep_leads(x: Tensor, fewest: int = 1, generator: torch.Generator | None = None) -> Tensor:
    """Keep, in each ECG `(batch, n_leads, sig_len)`, a random subset of `fewest` to all leads, any number as likely."""
    return x.masked_fill(_lost_leads(x, fewest, generator), 0.0)


def blank_parts(x: Tensor, share: float = 0.5, generator: torch.Generator | None = None) -> Tensor:
    """Lose a contiguous `share` of each lead of `(batch, n_leads, sig_len)`, from a start of its own, around the end.

    A share of one half is the masking of 3KG (Gopal et al. 2021).
    """
    return x.masked_fill(_lost_parts(x, share, generator), 0.0)


def blank_partially(x: Tensor, fewest: int = 1, share: float = 0.5, generator: torch.Generator | None = None) -> Tensor:
    """Partial lead blanking: half of the ECGs, at random, go through `keep_leads`, the others through `blank_parts`."""
    whole = uniform(x, (len(x), 1, 1), generator) < 0.5
    lost_leads, lost_parts = _lost_leads(x, fewest, generator), _lost_parts(x, share, generator)
    return x.masked_fill(torch.where(whole, lost_leads, lost_parts), 0.0)


def time_out(x: Tensor, share: float = 0.5, generator: torch.Generator | None = None) -> Tensor:
    """Lose one window over all leads of each ECG `(batch, n_leads, sig_len)`, of a length uniform up to `share`.

    The window lies wholly inside the recording, any place as likely (Cheng, Goh et al. 2020; Mehari & Strodthoff 2022).
    """
    _check_share("share", share)
    sig_len = x.shape[-1]
    size, place = uniform(x, (2, len(x), 1, 1), generator)
    length = (size * (share * sig_len + 1)).floor().clamp(max=sig_len)
    start = (place * (sig_len - length + 1)).floor()
    time = torch.arange(sig_len, device=x.device)
    return x.masked_fill((time >= start) & (time < start + length), 0.0)


def _lost_leads(x: Tensor, fewest: int, generator: torch.Generator | None) -> Tensor:
    batch, n_leads = x.shape[:2]
    if not 1 <= fewest <= n_leads:
        raise EcgkitError(f"fewest is {fewest}; keep from 1 to {n_leads} leads")
    kept = torch.randint(fewest, n_leads + 1, (batch, 1), generator=generator)
    order = torch.rand(batch, n_leads, generator=generator).argsort(dim=1)
    return (order >= kept)[..., None].to(x.device)


def _lost_parts(x: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    _check_share("share", share)
    batch, n_leads, sig_len = x.shape
    start = torch.randint(0, sig_len, (batch, n_leads, 1), generator=generator).to(x.device)
    since = (torch.arange(sig_len, device=x.device) - start) % sig_len
    return since < round(share * sig_len)


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise EcgkitError(f"{name} is {value}; give a number from 0 to 1")


#: Corners of the surface electromyogram's power spectrum in Hz (Shwedyk, Balasubramanian & Scott 1977).
EMG_LOW, EMG_HIGH = 60.0, 120.0


def emg_power(frequency: Tensor) -> Tensor:
    """Power of a surface electromyogram at each frequency in Hz, up to a factor: f^2 / ((f^2+l^2) (f^2+h^2)^2)."""
    square = frequency.square()
    return square / ((square + EMG_LOW**2) * (square + EMG_HIGH**2).square())


def add_emg(x: Tensor, amplitude: float, fs: float, generator: torch.Generator | None = None) -> Tensor:
    """Add the noise of muscles to each ECG `(batch, 12, sig_len)`, at every electrode on its own.

    The standard deviation at the electrodes is drawn for each ECG from 0 to `amplitude`, in x's unit; the spectrum is
    `emg_power`, up to half of `fs` Hz. Lead I, between two electrodes, has the square root of 2 of it.
    """
    return x + _electrode_noise(x, amplitude, lambda frequency: emg_power(frequency * fs), generator)


def add_electrode_noise(x: Tensor, amplitude: float, exponent: float = 1.0,
                        generator: torch.Generator | None = None) -> Tensor:
    """Add noise with a power of 1/f^exponent to each ECG `(batch, 12, sig_len)`, at every electrode on its own.

    The standard deviation at the electrodes is drawn for each ECG from 0 to `amplitude`, in x's unit. Exponent 0 is
    white (amplifier), 1 pink (electrode and skin), 2 brown (electrode motion). Its mean is 0 but for exponent 0.
    """
    def power(frequency: Tensor) -> Tensor:
        # The constant has no power to speak of where 1/f has no bound.
        at_zero = 1.0 if exponent == 0 else 0.0
        return torch.where(frequency > 0, frequency.clamp(min=1e-12) ** -exponent, at_zero)
    return x + _electrode_noise(x, amplitude, power, generator)


def _electrode_noise(x: Tensor, amplitude: float, power: Callable[[Tensor], Tensor],
                     generator: torch.Generator | None) -> Tensor:
    """Noise in the leads, `(batch, 12, sig_len)`, of a power that is a function of cycles per sample."""
    if x.ndim != 3 or x.shape[1] != N_LEADS:
        raise EcgkitError(f"signal of shape {tuple(x.shape)}; noise at electrodes needs (batch, {N_LEADS}, sig_len)")
    sig_len = x.shape[-1]
    spectrum = power(torch.fft.fftfreq(sig_len, device=x.device).abs())
    gain = (spectrum / spectrum.mean()).sqrt()[:sig_len // 2 + 1]
    size = amplitude * uniform(x, (len(x), 1, 1), generator)
    white = size * normal(x, (len(x), FROM_ELECTRODES.shape[1], sig_len), generator)
    at_electrodes = torch.fft.irfft(torch.fft.rfft(white) * gain, n=sig_len)
    return (torch.from_numpy(FROM_ELECTRODES).to(at_electrodes) @ at_electrodes).to(x.dtype)


def scale_gain(x: Tensor, spread: float, generator: torch.Generator | None = None) -> Tensor:
    """Multiply each ECG `(batch, n_leads, sig_len)` by its own factor, log-normal with standard deviation `spread`."""
    return x * torch.exp(normal(x, (len(x), 1, 1), generator) * spread)


def mask_leads(x: Tensor, probability: float, generator: torch.Generator | None = None) -> Tensor:
    """Set leads to zero: in half of the ECGs, each lead with `probability` (random lead masking, Oh et al. 2022)."""
    touched = uniform(x, (len(x), 1, 1), generator) < 0.5
    return x.masked_fill(touched & (uniform(x, (*x.shape[:2], 1), generator) < probability), 0.0)


def add_wander(x: Tensor, amplitude: float, fs: float, generator: torch.Generator | None = None) -> Tensor:
    """Add a sine of 0 to 0.5 Hz to each lead, with its own phase and an amplitude up to `amplitude`, in x's unit."""
    batch, n_leads, sig_len = x.shape
    time = torch.arange(sig_len, device=x.device) / fs
    frequency = 0.5 * uniform(x, (batch, 1, 1), generator)
    phase, size = uniform(x, (batch, n_leads, 1), generator), uniform(x, (batch, n_leads, 1), generator)
    return x + amplitude * size * torch.sin(2 * math.pi * (frequency * time + phase))


def add_noise(x: Tensor, amplitude: float, generator: torch.Generator | None = None) -> Tensor:
    """Add white noise; its standard deviation is drawn for each ECG from 0 to `amplitude`, in x's unit."""
    return x + amplitude * uniform(x, (len(x), 1, 1), generator) * normal(x, x.shape, generator)


@dataclass(frozen=True)
class Perturb:
    """Gain, lost leads, wander and noise in turn, each with its own strength; 0 leaves one out.

    `gain` is the standard deviation of its logarithm, `mask` the probability of losing a lead, the others are in mV.
    """

    gain: float = 0.15
    mask: float = 0.15
    wander: float = 0.07
    noise: float = 0.025

    def __call__(self, x: Tensor, fs: float, generator: torch.Generator | None = None) -> Tensor:
        """Perturb `(batch, n_leads, sig_len)` in mV, at `fs` Hz."""
        if self.gain:
            x = scale_gain(x, self.gain, generator)
        if self.mask:
            x = mask_leads(x, self.mask, generator)
        if self.wander:
            x = add_wander(x, self.wander, fs, generator)
        if self.noise:
            x = add_noise(x, self.noise, generator)
        return x


#: Infinitesimal rotations about X, Y and Z.
_ABOUT = torch.tensor([[[0, 0, 0], [0, 0, -1], [0, 1, 0]],
                       [[0, 0, 1], [0, 0, 0], [-1, 0, 0]],
                       [[0, -1, 0], [1, 0, 0], [0, 0, 0]]], dtype=torch.float64)


def transform_vcg(x: Tensor, angle: float = 45.0, scale: float = 1.5, keep_residual: bool = False,
                  generator: torch.Generator | None = None) -> Tensor:
    """Turn and stretch each ECG's heart vector at random (3KG, Gopal et al. 2021).

    Parameters
    ----------
    x : Tensor, shape (batch, 12, sig_len)
        Scaled by one number for all leads, if at all: a scale for each lead would break its geometry.
    angle : float
        Rotation about each axis is uniform from -angle to angle, in degrees.
    scale : float
        Stretch along each axis is uniform from 1 to `scale`, and inverted with probability 1/2.
    keep_residual : bool
        Keep what a dipole cannot carry (see `vcg_matrix`).

    Returns
    -------
    Tensor, shape (batch, 12, sig_len)
        Limb leads obey Einthoven's and Goldberger's relations; with `keep_residual`, where those of `x` did.
    """
    if x.ndim != 3 or x.shape[1] != N_LEADS:
        raise EcgkitError(f"signal of shape {tuple(x.shape)}; the heart vector needs (batch, {N_LEADS}, sig_len)")
    if not scale >= 1:
        raise EcgkitError(f"scale is {scale}; give 1 (no stretch) or more")
    draw = torch.rand(3, len(x), 3, generator=generator, dtype=torch.float64)
    angles = torch.deg2rad(angle * (2 * draw[0] - 1))
    stretch = 1 + (scale - 1) * draw[1]
    stretch = torch.where(draw[2] < 0.5, 1 / stretch, stretch)
    return vcg_matrix(angles, stretch, keep_residual).to(x) @ x


def vcg_matrix(angles: Tensor, stretch: Tensor, keep_residual: bool = False) -> Tensor:
    """Change of the twelve leads, `(batch, 12, 12)`, that a rotation and then a stretch of the heart vector make.

    `angles`, `(batch, 3)`, are radians about X, then Y, then Z; `stretch`, `(batch, 3)`, factors along X, Y and Z. With
    D for Dower's matrix and D+ for its inverse (Edenbrandt & Pahlm 1988), it is D S R D+, what the rotated dipole alone
    gives (3KG); or, to `keep_residual`, I + D (S R - I) D+, which changes the dipole's part in the same way and leaves
    the rest of the signal as it was.
    """
    angles, stretch = angles.double(), stretch.double()
    spin = (torch.eye(3, dtype=torch.float64) + angles.sin()[..., None, None] * _ABOUT
            + (1 - angles.cos())[..., None, None] * (_ABOUT @ _ABOUT))
    change = stretch[..., None] * (spin[:, 2] @ spin[:, 1] @ spin[:, 0])
    to_leads, to_vcg = torch.from_numpy(DOWER), torch.from_numpy(INVERSE_DOWER)
    if keep_residual:
        return torch.eye(N_LEADS, dtype=torch.float64) + to_leads @ (change - torch.eye(3)) @ to_vcg
    return to_leads @ change @ to_vcg
