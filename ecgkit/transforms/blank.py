"""Blanking: leads, groups of leads, parts of leads, or a window over all leads are set to zero."""

from __future__ import annotations

import torch
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.leads import LIMB, N_LEADS
from ecgkit.transforms.draws import uniform


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
