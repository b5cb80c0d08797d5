"""Tests of the dual-stream encoder: the streams see their own leads only, and the whole keeps the size of one net."""

from __future__ import annotations

import pytest
import torch

from ecgkit.leads import CHEST, LEADS, LIMB
from ecgkit.models import XResNet1d
from ecgkit.models.xresnet import DualStream

NARROW = (4, 4, 4, 4)


@pytest.mark.parametrize("lead", LEADS)
def test_a_lead_reaches_the_stream_of_its_group_only(lead: str) -> None:
    net, x = DualStream(widths=NARROW).eval(), torch.randn(2, 12, 250)
    changed = x.clone()
    changed[:, LEADS.index(lead)] += torch.randn(250)
    same = (net.streams(x) == net.streams(changed)).flatten(2).all(dim=2).all(dim=0)
    assert same.tolist() == [lead in CHEST, lead in LIMB]


def test_a_stream_is_its_backbone_on_its_leads() -> None:
    net, x = DualStream(backbone="xresnet1d34", widths=NARROW, kernel_size=7).eval(), torch.randn(2, 12, 250)
    alone = XResNet1d("xresnet1d34", n_leads=6, widths=NARROW, kernel_size=7).eval()
    for group, leads in enumerate((x[:, :6], x[:, 6:])):
        alone.load_state_dict(net.nets[group].state_dict())
        assert torch.equal(net.streams(x)[:, group], alone(leads))


def test_forward_lays_the_streams_side_by_side() -> None:
    net, x = DualStream(widths=NARROW).eval(), torch.randn(3, 12, 250)
    streams = net.streams(x)
    assert streams.shape == (3, net.n_groups, net.n_features // net.n_groups) == (3, 2, 8)
    assert torch.equal(net(x), torch.cat([streams[:, 0], streams[:, 1]], dim=1))


def test_the_default_is_as_large_as_one_xresnet1d18() -> None:
    both, one = (sum(p.numel() for p in net.parameters()) for net in (DualStream(), XResNet1d()))
    assert both == pytest.approx(one, rel=0.05)


def test_other_than_twelve_leads_are_refused() -> None:
    with pytest.raises(RuntimeError, match="split"):
        DualStream(widths=NARROW)(torch.randn(2, 13, 250))
