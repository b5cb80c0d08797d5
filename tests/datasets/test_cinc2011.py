"""CinC 2011 (set A): leads, unit and order as stored, verdicts kept apart, mistakes told in one line."""

from __future__ import annotations

import numpy as np
import pytest

import ecgkit.datasets
from ecgkit.datasets import cinc2011
from ecgkit.errors import EcgkitError
from ecgkit.leads import LEADS, limb_residual

QUALITY = ["acceptable", "unacceptable", "indeterminate", "acceptable"]
NAMES = [f"100{k}" for k in range(4)]
TABLE = "record,quality\n" + "".join(f"{name},{quality}\n" for name, quality in zip(NAMES, QUALITY, strict=True))


def write(root, *, table=TABLE, **arrays):
    """Four ECGs: ECG k has the slope k + 1 µV per sample times the lead's place from 1 to 12."""
    slopes = np.arange(1, 5)[:, None, None] * np.arange(1, 13)
    x = (np.arange(1000)[None, :, None] % 100 * slopes).astype(np.int16)
    (root / cinc2011.TABLE).write_text(table)
    np.savez(root / cinc2011.SIGNALS, **{"X": x, "record": np.array(NAMES), **arrays})
    return x


def test_signals_are_millivolts_with_leads_first(tmp_path):
    x = write(tmp_path)
    data = ecgkit.datasets.load("cinc2011", root=tmp_path)
    assert repr(data) == "<CinC 2011 (set A): 2 ECGs of 2 patients, 10 s at 100 Hz, 0 labels>"
    assert data.records.to_dict("list") == {"record": ["1000", "1003"], "patient_id": ["1000", "1003"],
                                            "quality": ["acceptable", "acceptable"]}
    assert data.labels.shape == (2, 0)
    assert data.signals.dtype == np.float32
    for lead in range(12):
        np.testing.assert_allclose(data.signals[1, lead], x[3, :, lead] / 1000, atol=1e-6)


@pytest.mark.parametrize(("quality", "names"), [("unacceptable", ["1001"]), ("indeterminate", ["1002"]),
                                                ("all", NAMES)])
def test_verdicts(tmp_path, quality, names):
    x = write(tmp_path)
    data = cinc2011.load(tmp_path, quality=quality)
    assert data.records["record"].tolist() == names
    np.testing.assert_allclose(data.signals[-1, 0], x[NAMES.index(names[-1]), :, 0] / 1000, atol=1e-6)


def test_another_rate_keeps_the_signal(tmp_path):
    wave = 1000 * np.sin(2 * np.pi * 2 * np.arange(1000) / 100)
    write(tmp_path, X=np.tile(wave[None, :, None], (4, 1, 12)).astype(np.int16))
    data = cinc2011.load(tmp_path, fs=250)
    assert (data.fs, data.sig_len, data.signals.dtype) == (250, 2500, np.float32)
    np.testing.assert_allclose(data.signals[0, 5, 250:-250], np.sin(2 * np.pi * 2 * np.arange(2500) / 250)[250:-250],
                               atol=0.01)


def test_damaged_folders(tmp_path):
    def refused(words, **arguments):
        write(tmp_path, **arguments)
        with pytest.raises(EcgkitError, match=words) as caught:
            cinc2011.load(tmp_path)
        assert "\n" not in str(caught.value)

    refused("X is int16 of shape .4, 12, 1000.; expected int16 of shape .4, 1000, 12.",
            X=np.zeros((4, 12, 1000), np.int16))
    refused("X is float64", X=np.zeros((4, 1000, 12)))
    refused("X is int16 of shape .3,", X=np.zeros((3, 1000, 12), np.int16))
    refused(r"is damaged \(.*pickle", X=np.array([{}], dtype=object))
    refused("its records are not those of records.csv", record=np.array(NAMES[::-1]))
    refused("lacks the column 'quality'", table="record\n1000\n")
    refused("'good' is no quality", table="record,quality\n1000,good\n")
    write(tmp_path)
    file = tmp_path / cinc2011.SIGNALS
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(EcgkitError, match="is damaged"):
        cinc2011.load(tmp_path)
    np.savez(file, record=np.array(NAMES))
    with pytest.raises(EcgkitError, match="lacks an array .*expected X and record"):
        cinc2011.load(tmp_path)
    file.unlink()
    with pytest.raises(EcgkitError, match=r"no signals_100hz_int16uV\.npz here"):
        cinc2011.load(tmp_path)
    (tmp_path / cinc2011.TABLE).unlink()
    with pytest.raises(EcgkitError, match=r"no records\.csv here; give root="):
        cinc2011.load(tmp_path)


def test_mistaken_options(tmp_path):
    write(tmp_path)
    with pytest.raises(EcgkitError, match="no quality 'good'; choose from acceptable, .*, all"):
        cinc2011.load(tmp_path, quality="good")
    with pytest.raises(EcgkitError, match="must be positive"):
        cinc2011.load(tmp_path, fs=0)


@pytest.mark.real
def test_the_real_set(data_root):
    data = ecgkit.datasets.load("cinc2011", root=data_root / "cinc2011-unlabelled")
    assert repr(data) == "<CinC 2011 (set A): 705 ECGs of 705 patients, 10 s at 100 Hz, 0 labels>"
    # Stored as whole microvolts, the limb leads agree to a few of them: so the order of the leads is right.
    assert abs(limb_residual(data.signals)).max() < 0.005
    assert (data.signals[:, LEADS.index("aVR")] * data.signals[:, LEADS.index("II")]).mean() < 0
    assert 0.05 < data.signals.std() < 0.5
