"""The reader: signals equal to wfdb's on real records, every header dialect, every fault named, nothing outside."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgkit.datasets import reader
from ecgkit.datasets.reader import find_records, inside, read_record
from ecgkit.errors import EcgkitError, RecordError
from ecgkit.leads import LEADS
from tests.datasets.helpers import edit_header, heartbeat, write_record


def by_wfdb(path: Path) -> np.ndarray:
    record = wfdb.rdrecord(str(path))
    order = [[name.lower() for name in record.sig_name].index(lead.lower()) for lead in LEADS]
    return record.p_signal.T[order]


@pytest.mark.real
@pytest.mark.parametrize("record", ["ptb-xl-sample/records100/00000/00001_lr",
                                    "ptb-xl-sample/records500/00000/00001_hr",
                                    "ludb-sample/data/1", "challenge-sample/georgia/E07518",
                                    "challenge-sample/ningbo/JS20000"])
def test_equals_wfdb_on_real_records(data_root, record):
    signal, fs, header = read_record(data_root / record)
    expected = by_wfdb(data_root / record)
    assert signal.dtype == np.float32
    assert fs == header.fs == wfdb.rdheader(str(data_root / record)).fs
    np.testing.assert_allclose(signal, expected, atol=1e-6)


@pytest.mark.real
def test_reads_a_header_whose_date_wfdb_refuses(data_root):
    path = data_root / "challenge-sample/cpsc_2018_extra/Q0001"
    assert re.search(r"\d\d-May-2020", path.with_suffix(".hea").read_text())
    signal, fs, header = read_record(path)
    raw = np.fromfile(path.with_suffix(".mat"), "<i2", offset=24).reshape(-1, 12).T
    np.testing.assert_allclose(signal, raw / 1000, atol=1e-6)
    assert (fs, signal.shape[1]) == (500, header.sig_len)


def test_both_dialects_of_comments(tmp_path):
    for k, style in enumerate(("#Age: 69|#Sex: Male|#Dx: 426783006,1", "# Age: 69|# Sex: Male|# Dx: 426783006,1",
                               "#<age>: 69|#<sex>: Male|#<Dx>: 426783006,1")):
        path = write_record(tmp_path, f"r{k}", heartbeat(), comments=style.split("|"))
        assert read_record(path)[2].fields == {"age": "69", "sex": "Male", "dx": "426783006,1"}


def test_gains_baselines_order_spelling_and_units(tmp_path):
    signal = heartbeat()
    order = list(reversed(range(12)))
    names = [LEADS[k].upper() for k in order]
    path = write_record(tmp_path, "r", 1e3 * signal[order], gain=2, baseline=-57, units="uV", lead_names=names)
    np.testing.assert_allclose(read_record(path)[0], signal, atol=3e-4)


@pytest.mark.parametrize("unit", ["\u00b5V", "\u03bcV"])
def test_microvolts_are_not_volts(tmp_path, unit):
    """wfdb drops letters that are not ASCII; both the micro sign and the Greek letter are in use."""
    signal = heartbeat()
    path = write_record(tmp_path, "r", 1e3 * signal, gain=2, units=unit)
    np.testing.assert_allclose(read_record(path)[0], signal, atol=3e-4)


@pytest.mark.parametrize("date", ["00:00:00 05-May-2020", "12:00 31/12/1999", "25:61:61 99/99/9999", "noon"])
def test_dates_do_not_matter(tmp_path, date):
    assert read_record(write_record(tmp_path, "r", heartbeat(), date=date))[0].shape == (12, 1000)


@pytest.mark.parametrize("length", ["", " 0"])
def test_a_length_that_the_header_leaves_open_is_that_of_the_file(tmp_path, length):
    path = write_record(tmp_path, "r", heartbeat())
    edit_header(path, "r 12 100 1000", f"r 12 100{length}")
    signal, _, header = read_record(path)
    assert (signal.shape, header.sig_len) == ((12, 1000), 1000)
    data = path.with_suffix(".dat")
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(RecordError, match="is damaged: "):
        read_record(path)


def test_one_gain_per_lead(tmp_path):
    signal = heartbeat()
    path = write_record(tmp_path, "r", signal)
    edit_header(path, "1000(0)/mV", "500(10)/mV", 1)
    read = read_record(path)[0]
    np.testing.assert_allclose(read[0], (np.round(signal[0] * 1000) - 10) / 500, atol=1e-6)
    np.testing.assert_allclose(read[1:], signal[1:], atol=6e-4)


def test_eight_leads_are_completed(tmp_path):
    signal = heartbeat()
    eight = [0, 1, *range(6, 12)]
    path = write_record(tmp_path, "r", signal[eight], lead_names=[LEADS[k] for k in eight])
    read = read_record(path)[0]
    np.testing.assert_allclose(read[2], signal[1] - signal[0], atol=2e-3)
    np.testing.assert_allclose(read[3], -(signal[0] + signal[1]) / 2, atol=2e-3)


def test_leads_in_two_files(tmp_path):
    signal = heartbeat()
    write_record(tmp_path, "limb", signal[:6], lead_names=LEADS[:6])
    write_record(tmp_path, "chest", signal[6:], lead_names=LEADS[6:])
    lines = [(tmp_path / f"{part}.hea").read_text().splitlines()[1:] for part in ("limb", "chest")]
    (tmp_path / "both.hea").write_text("\n".join(["both 12 100 1000", *lines[0], *lines[1]]))
    np.testing.assert_allclose(read_record(tmp_path / "both")[0], signal, atol=6e-4)


#: Bytes that 11 leads of 1001 samples take: 11 011 samples, in groups of 2 (format 212) or 3 (310, 311).
BYTES = {"8": 11011, "80": 11011, "16": 22022, "61": 22022, "160": 22022, "24": 33033, "32": 44044, "212": 16517,
         "310": 14682, "311": 14682}


@pytest.mark.parametrize("fmt", BYTES)
def test_length_of_every_storage_format(tmp_path, fmt):
    names = [lead for lead in LEADS if lead != "III"]
    lines = ["r 11 100 1001", *(f"r.dat {fmt} 1000(7)/mV 16 0 3 0 0 {name}" for name in names)]
    (tmp_path / "r.hea").write_text("\n".join(lines))
    # bytes that are a missing sample in none of the formats
    content = np.random.default_rng(0).integers(16, 100, BYTES[fmt], dtype=np.uint8).tobytes()
    data = tmp_path / "r.dat"
    data.write_bytes(content)
    expected = wfdb.rdrecord(str(tmp_path / "r")).p_signal.T
    np.testing.assert_allclose(read_record(tmp_path / "r")[0][[LEADS.index(name) for name in names]], expected, 1e-6)
    for damaged in (content[:-1], content + bytes(4)):
        data.write_bytes(damaged)
        with pytest.raises(RecordError, match=rf"is damaged: r\.dat has {len(damaged):,} bytes, .* {len(content):,}"):
            read_record(tmp_path / "r")


def test_compressed_format(tmp_path):
    eight = [0, 1, *range(6, 12)]
    signal = heartbeat()
    wfdb.wrsamp("r", fs=100, units=["mV"] * 8, sig_name=[LEADS[k] for k in eight], p_signal=signal[eight].T,
                fmt=["516"] * 8, adc_gain=[1000] * 8, baseline=[0] * 8, write_dir=str(tmp_path))
    np.testing.assert_allclose(read_record(tmp_path / "r")[0][eight], signal[eight], atol=6e-4)
    edit_header(tmp_path / "r", "r 8 100 1000", "r 8 100 1001")
    with pytest.raises(RecordError, match="is damaged"):
        read_record(tmp_path / "r")


@pytest.mark.parametrize("fmt", ["212", "80", "24", "32"])
def test_other_storage_formats_through_wfdb(tmp_path, fmt):
    signal = heartbeat()
    gain = 20 if fmt == "80" else 500
    wfdb.wrsamp("r", fs=100, units=["mV"] * 12, sig_name=list(LEADS), p_signal=signal.T, fmt=[fmt] * 12,
                adc_gain=[gain] * 12, baseline=[0] * 12, write_dir=str(tmp_path))
    np.testing.assert_allclose(read_record(tmp_path / "r")[0], signal, atol=1 / gain)
    data = tmp_path / "r.dat"
    data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(RecordError, match=r"r: is damaged"):
        read_record(tmp_path / "r")


def test_a_flipped_byte_is_found_in_every_format(tmp_path):
    signal = heartbeat()
    for fmt in ("16", "212"):
        wfdb.wrsamp("r", fs=100, units=["mV"] * 12, sig_name=list(LEADS), p_signal=signal.T, fmt=[fmt] * 12,
                    adc_gain=[500] * 12, baseline=[0] * 12, write_dir=str(tmp_path))
        content = bytearray((tmp_path / "r.dat").read_bytes())
        content[3000] ^= 1
        (tmp_path / "r.dat").write_bytes(content)
        with pytest.raises(RecordError, match=r"lead \S+ do not add up to its checksum"):
            read_record(tmp_path / "r")


def test_checksums_left_at_zero_are_no_checksums(tmp_path):
    path = write_record(tmp_path, "r", heartbeat())
    header = path.with_suffix(".hea")
    header.write_text(re.sub(r"(16 0 -?\d+) -?\d+ 0", r"\1 0 0", header.read_text()))
    assert read_record(path)[0].shape == (12, 1000)


def test_resamples_and_cuts(tmp_path):
    time = np.arange(6000) / 500
    signal = np.stack([np.sin(2 * np.pi * (k + 1) * time) for k in range(12)])
    path = write_record(tmp_path, "r", signal, fs=500)
    read, fs, _ = read_record(path, 100, seconds=10)
    assert (read.shape, fs) == ((12, 1000), 100)
    np.testing.assert_allclose(read[:, 50:950], signal[:, :5000:5][:, 50:950], atol=0.01)


def test_rates_that_divide_badly_give_the_length_asked_for(tmp_path):
    path = write_record(tmp_path, "r", heartbeat(2800), fs=257)
    assert read_record(path, 100, seconds=10)[0].shape == (12, 1000)


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_extension_may_be_given(tmp_path, suffix):
    path = write_record(tmp_path, "a.b", heartbeat())
    assert read_record(f"{path}{suffix}")[0].shape == (12, 1000)


class TestFaults:
    """Each fault is one line that names the record and the reason."""

    def check(self, path, match, **options):
        with pytest.raises(RecordError, match=match) as caught:
            read_record(path, **options)
        assert caught.value.record == options.get("record", str(path))
        assert "\n" not in str(caught.value)

    def test_missing_header(self, tmp_path):
        self.check(tmp_path / "nothing", r"has no \.hea file")

    def test_missing_signal(self, tmp_path):
        path = write_record(tmp_path, "r", heartbeat())
        path.with_suffix(".dat").unlink()
        self.check(path, r"has no \.dat file")

    @pytest.mark.parametrize("change", [-1, -2400, 24])
    def test_wrong_size(self, tmp_path, change):
        path = write_record(tmp_path, "r", heartbeat())
        data = path.with_suffix(".dat")
        content = data.read_bytes()
        data.write_bytes(content[:change] if change < 0 else content + bytes(change))
        self.check(path, rf"is damaged: r\.dat has {24000 + change:,} bytes, its header promises 24,000")

    def test_short(self, tmp_path):
        self.check(write_record(tmp_path, "r", heartbeat(420)), r"is short: 4\.2 s of the 10 s wanted", seconds=10)

    def test_flat_lead_is_named(self, tmp_path):
        signal = heartbeat()
        signal[7] = 1.5
        self.check(write_record(tmp_path, "r", signal), r"is flat in lead V2: ")

    def test_almost_flat_is_flat(self, tmp_path):
        signal = heartbeat()
        signal[7] = 0.002 * np.sin(np.arange(1000))
        self.check(write_record(tmp_path, "r", signal), r"is flat in lead V2")

    def test_faulty_leads_are_kept_for_who_asks(self, tmp_path):
        signal = heartbeat()
        signal[7], signal[1, 500] = 1.5, np.nan
        order = np.arange(12)[::-1]
        path = write_record(tmp_path, "r", signal[order], lead_names=[LEADS[k] for k in order])
        kept = read_record(path, keep_faulty=True)[0]
        assert np.isnan(kept[1]).all()
        others = np.arange(12) != 1
        np.testing.assert_allclose(kept[others], signal[others], atol=1e-3)
        # With four of the limb leads left out, they follow from II, and so nobody may fill its gap.
        eight = [1, 0, *range(6, 12)]
        path = write_record(tmp_path, "eight", signal[eight], lead_names=[LEADS[k] for k in eight])
        with pytest.raises(RecordError, match="lead II has 1 non-finite"):
            read_record(path, keep_faulty=True)

    def test_quiet_but_real_lead_is_kept(self, tmp_path):
        signal = heartbeat()
        signal[7] = 0.05 * np.sin(np.arange(1000))
        assert read_record(write_record(tmp_path, "r", signal))[0].shape == (12, 1000)

    def test_missing_samples(self, tmp_path):
        signal = heartbeat()
        signal[3, 10:13] = np.nan
        self.check(write_record(tmp_path, "r", signal), r"lead aVR has 3 non-finite samples")

    def test_missing_lead(self, tmp_path):
        names = [*LEADS[:11], "resp"]
        self.check(write_record(tmp_path, "r", heartbeat(), lead_names=names), r"lead V6 is missing")

    def test_unknown_unit(self, tmp_path):
        path = write_record(tmp_path, "r", heartbeat())
        edit_header(path, "/mV", "/mmHg")
        self.check(path, r"lead I has the unknown unit 'mmHg'")

    def test_uncalibrated(self, tmp_path):
        path = write_record(tmp_path, "r", heartbeat())
        edit_header(path, " 1000(0)/mV", " 0(0)/mV", 1)
        self.check(path, r"lead I is not calibrated")

    @pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "r", "r twelve 100 1000", "r 12 abc",
                                      "r 12 0 1000", "r 12 100 -5", "r 2000000000 100 1000", "\x00\xff\xfe binary",
                                      "r 11 100 1000", "r 12 -100 1000", "r 12 1e2 1000", "r 12 100 1e3",
                                      "r 12 1OO 1000", "r 12 100 " + "9" * 400, "r 12 " + "9" * 400])
    def test_broken_first_line(self, tmp_path, text):
        path = write_record(tmp_path, "r", heartbeat())
        lines = path.with_suffix(".hea").read_text().splitlines()[1:]
        path.with_suffix(".hea").write_text("\n".join([text, *lines]) if text.startswith("r ") else text)
        self.check(path, r"its header is damaged")

    @pytest.mark.parametrize("line", ["r.dat", "r.dat sixteen 1000/mV", "r.dat 16", "r.dat 16 gain",
                                      "r.dat 16 1e/mV 0 x", "r.dat 16 1E3(0)/mV 16 0 0 0 0 V2",
                                      "r.dat 16bit 1000/mV 16 0 0 0 0 V2"])
    def test_broken_signal_line(self, tmp_path, line):
        path = write_record(tmp_path, "r", heartbeat())
        header = path.with_suffix(".hea")
        lines = header.read_text().splitlines()
        header.write_text("\n".join([*lines[:5], line, *lines[6:]]))
        self.check(path, r"its header is damaged: cannot read the line")

    def test_huge_promise_is_not_allocated(self, tmp_path):
        path = write_record(tmp_path, "r", heartbeat())
        edit_header(path, "r 12 100 1000", "r 12 100 99999999999999")
        self.check(path, r"is damaged: r\.dat has 24,000 bytes")

    def test_huge_header_is_not_read(self, tmp_path):
        path = write_record(tmp_path, "r", heartbeat())
        path.with_suffix(".hea").write_bytes(b"#" * (1 << 20) + b"##")
        self.check(path, r"too large for a header")

    def test_several_segments(self, tmp_path):
        path = write_record(tmp_path, "r", heartbeat())
        edit_header(path, "r 12 100", "r/3 12 100")
        self.check(path, r"several segments")

    def test_a_pipe_is_never_opened(self, tmp_path):
        path = write_record(tmp_path, "r", heartbeat())
        path.with_suffix(".dat").unlink()
        os.mkfifo(path.with_suffix(".dat"))
        self.check(path, r"not a regular file")


class TestNothingOutside:
    """A header, a list or a link that leads out of the folder is refused before anything is opened."""

    @pytest.fixture
    def secret(self, tmp_path):
        """A valid recording outside the root, so that only the check stands between it and the reader."""
        write_record(tmp_path / "outside", "r", heartbeat())
        return tmp_path / "outside" / "r.dat"

    @pytest.mark.parametrize("name", ["../outside/r.dat", "sub/../../outside/r.dat", "{absolute}", "..\\outside\\r.dat",
                                      "http://127.0.0.1:9/r.dat", "file://{absolute}", "memory::r.dat", "~", "..", "."])
    def test_header_names_another_place(self, tmp_path, secret, name):
        path = write_record(tmp_path / "root", "r", heartbeat(), data_name=name.format(absolute=secret))
        with pytest.raises(RecordError, match=r"not a file of its own folder; not opened"):
            read_record(path, root=tmp_path / "root")

    def test_header_names_another_place_in_another_format(self, tmp_path, secret):
        path = write_record(tmp_path / "root", "r", heartbeat(), data_name="../outside/r.dat")
        edit_header(path, ".dat 16 ", ".dat 61 ")
        with pytest.raises(RecordError, match="not opened"):
            read_record(path, root=tmp_path / "root")

    @pytest.mark.parametrize("name", ["*.dat", "?.dat", "[r].dat"])
    def test_a_pattern_is_only_a_name(self, tmp_path, name):
        path = write_record(tmp_path, "r", heartbeat(), data_name=name)
        with pytest.raises(RecordError, match=r"has no \.dat file"):
            read_record(path)

    @pytest.mark.parametrize("links", [True, False])
    def test_nothing_is_left_behind(self, tmp_path, monkeypatch, links):
        (tmp_path / "scratch").mkdir()
        monkeypatch.setattr(reader, "_SCRATCH", str(tmp_path / "scratch"))
        if not links:
            monkeypatch.setattr(Path, "symlink_to", lambda *_: (_ for _ in ()).throw(OSError("no privilege")))
        path = write_record(tmp_path / "data", "r", heartbeat())
        content = {file: file.read_bytes() for file in (tmp_path / "data").iterdir()}
        assert read_record(path)[0].shape == (12, 1000)
        edit_header(path, "r 12 100 1000", "r 12 100 999")
        with pytest.raises(RecordError, match="is damaged"):
            read_record(path)
        assert not list((tmp_path / "scratch").iterdir())
        assert path.with_suffix(".dat").read_bytes() == content[path.with_suffix(".dat")]

    @pytest.mark.parametrize("suffix", [".dat", ".hea"])
    def test_link_out_of_the_root(self, tmp_path, secret, suffix):
        path = write_record(tmp_path / "root", "r", heartbeat())
        path.with_suffix(suffix).unlink()
        path.with_suffix(suffix).symlink_to(secret.with_suffix(suffix))
        with pytest.raises(RecordError, match=r"outside .*nothing outside is opened"):
            read_record(path)

    def test_linked_folder_out_of_the_root(self, tmp_path, secret):
        (tmp_path / "root").mkdir()
        (tmp_path / "root" / "sub").symlink_to(secret.parent)
        with pytest.raises(RecordError, match="nothing outside is opened"):
            read_record(tmp_path / "root" / "sub" / "r", root=tmp_path / "root")

    def test_link_within_the_root_and_a_linked_root_are_fine(self, tmp_path):
        path = write_record(tmp_path / "root" / "a", "r", heartbeat())
        (tmp_path / "root" / "b").symlink_to(path.parent)
        (tmp_path / "alias").symlink_to(tmp_path / "root")
        assert read_record(tmp_path / "alias" / "b" / "r", root=tmp_path / "alias")[0].shape == (12, 1000)

    @pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "http://h/x", "s3://b/x", "a::b", "a\0b"])
    def test_inside(self, tmp_path, name):
        with pytest.raises(RecordError, match=r"^rec: names "):
            inside(tmp_path, name, "rec")
        assert inside(tmp_path, "a/../b", "rec") == tmp_path / "a/../b"


class TestFindRecords:
    def test_record_with_or_without_extension(self, tmp_path):
        path = write_record(tmp_path, "r", heartbeat())
        for given in (path, f"{path}.hea", f"{path}.dat"):
            assert find_records(given) == [path]

    def test_folder(self, tmp_path):
        for name in ("b", "a"):
            write_record(tmp_path, name, heartbeat())
        write_record(tmp_path / "sub", "c", heartbeat())
        assert find_records(tmp_path) == [tmp_path / "a", tmp_path / "b", tmp_path / "sub" / "c"]

    def test_records_file_keeps_its_order(self, tmp_path):
        (tmp_path / "RECORDS").write_text("sub/b\n\na\n")
        assert find_records(tmp_path / "RECORDS") == [tmp_path / "sub" / "b", tmp_path / "a"]

    @pytest.mark.parametrize("line", ["../x", "/etc/passwd", "http://host/x"])
    def test_records_file_that_leads_out(self, tmp_path, line):
        (tmp_path / "RECORDS").write_text(f"a\n{line}\n")
        with pytest.raises(EcgkitError, match="RECORDS"):
            find_records(tmp_path / "RECORDS")

    def test_nothing_there(self, tmp_path):
        with pytest.raises(EcgkitError, match="no record, folder or RECORDS file"):
            find_records(tmp_path / "x")
        with pytest.raises(EcgkitError, match="no record"):
            find_records(tmp_path)
        (tmp_path / "RECORDS").write_text("\n")
        with pytest.raises(EcgkitError, match="lists no record"):
            find_records(tmp_path / "RECORDS")


class TestOtherLayouts:
    """Records as other software writes them."""

    def test_a_name_with_a_slash_is_no_record_of_segments(self, tmp_path):
        path = write_record(tmp_path, "r", heartbeat())
        edit_header(path, "r 12 100", "ge_median/r 12 100")
        np.testing.assert_allclose(read_record(path)[0], heartbeat(), atol=1e-3)

    @pytest.fixture
    def segments(self, tmp_path):
        write_record(tmp_path, "s1", heartbeat()[:, :500])
        write_record(tmp_path, "s2", heartbeat()[:, 500:])
        (tmp_path / "r.hea").write_text("r/2 12 100 1000\ns1 500\ns2 500\n# Age: 50\n")
        return tmp_path / "r"

    def test_segments_of_one_layout_are_one_signal(self, segments):
        signal, fs, header = read_record(segments)
        np.testing.assert_allclose(signal, heartbeat(), atol=1e-3)
        assert (fs, header.sig_len, header.fields["age"]) == (100, 1000, "50")

    def test_a_gap_between_segments_is_missing(self, segments):
        segments.with_suffix(".hea").write_text("r/3 12 100 1200\ns1 500\n~ 200\ns2 500\n")
        signal = read_record(segments, keep_faulty=True)[0]
        assert np.isnan(signal).all(axis=0).nonzero()[0].tolist() == list(range(500, 700))
        with pytest.raises(RecordError, match="non-finite"):
            read_record(segments)

    @pytest.mark.parametrize(("text", "words"), [
        ("r/2 12 100 1000\ns1 500\n../s2 500\n", "several segments"),
        ("r/2 12 100 1000\ns1 500\n", "several segments"),
        ("r/2 12 100 900\ns1 500\ns2 500\n", "is damaged"),
        ("r/2 12 100 900\ns1 500\ns2 400\n", "has 500 samples"),
        ("r/2 12 250 1000\ns1 500\ns2 500\n", "is damaged"),
        ("r/2 12 100 1000\nlayout 0\ns2 1000\n", "different leads"),
        ("r/2 12 100 1000\ns1 500\nr 500\n", "its header is damaged"),
        ("r/2 12 100 1000\ns1 500\nnone 500\n", "has no .hea file"),
    ])
    def test_segments_that_do_not_fit_are_refused(self, segments, text, words):
        segments.with_suffix(".hea").write_text(text)
        with pytest.raises(RecordError, match=words):
            read_record(segments)

    def test_printed_leads_keep_what_is_there(self, tmp_path):
        signal = heartbeat()
        signal[3, :250] = signal[3, 500:] = np.nan
        kept = read_record(write_record(tmp_path, "r", signal), 200, keep_faulty=True)[0]
        assert np.isfinite(kept[3]).nonzero()[0].tolist() == list(range(500, 1000))
        assert np.isfinite(np.delete(kept, 3, axis=0)).all()
        np.testing.assert_allclose(kept[3, 520:980:2], heartbeat()[3, 260:490], atol=0.02)

    @pytest.mark.parametrize("name", ["C_names", "hyphen", "recordname_slash", "multiseg"])
    def test_awkward_records_hold_the_same_ecg(self, data_root, name):
        signal = read_record(data_root / "awkward" / name / "r")[0]
        np.testing.assert_array_equal(signal, read_record(data_root / "awkward" / "C_names" / "r")[0])
