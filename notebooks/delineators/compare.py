"""Run the free delineators that others wrote on lead II of LUDB, and save what they find.

They need other versions of common packages than ecgkit does, so they run by themselves, in an environment of their own:

    python -m venv others && others/bin/pip install -r requirements.txt
    OMP_NUM_THREADS=1 others/bin/python compare.py /path/to/ludb [tool ...]

This writes, beside this file, `lead_ii.csv.gz` (one row for each wave: tool, record, beat, wave, and its onset, peak
and offset in milliseconds, empty where the tool gives none) and `timings.csv` (one row for each tool: version, licence,
leads, leads on which it failed, and seconds of processor time for a lead of ten seconds). With tools named, only these
run, and the rows of the others stay as they are. The package reads and scores both files
(`ecgkit.study.measurements`); it never imports the tools.

The ECGdeli port was run later than the others, on a machine that ran those in 0.35 to 0.64 of the time in `timings.csv`.

Licences: NeuroKit2 MIT, BioSPPy BSD-3-Clause, prominence-delineator and its detector of R peaks vg-beat-detectors
GPL-3.0, ecgdeli (an unofficial port to Python of the MATLAB toolbox ECGdeli) GPL-3.0-or-later. All are used as their
documentation shows, with their own filters and R peaks, at their default settings. So the ECGdeli port keeps the
original's faults (its fidelity "matlab"), and has no other leads to vote with.
"""

import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import ecgdeli
import neurokit2
import numpy as np
import pandas as pd
import wfdb
from biosppy.signals import ecg as biosppy
from prominence_delineator import ProminenceDelineator

FS = 500
UNITS_PER_MV = 1000  # the gains in LUDB's headers scale each lead by itself; see ecgkit/datasets/ludb.py
LEAD_II = 1
HERE = Path(__file__).parent


def lead_ii(root, record):
    return wfdb.rdrecord(str(root / record), physical=False, channels=[LEAD_II]).d_signal[:, 0] / UNITS_PER_MV


def neurokit(method):
    def find(x):
        x = neurokit2.ecg_clean(x, sampling_rate=FS)
        r_peaks = neurokit2.ecg_peaks(x, sampling_rate=FS)[1]["ECG_R_Peaks"]
        found = neurokit2.ecg_delineate(x, r_peaks, sampling_rate=FS, method=method)[1]
        marks = {(wave, mark): found.get(f"ECG_{'R' if wave == 'QRS' else wave}_{mark.title()}s", [])
                 for wave in ("P", "QRS", "T") for mark in ("onset", "peak", "offset")}
        return marks | {("QRS", "peak"): r_peaks}
    return find


def prominence(x):
    tool = ProminenceDelineator(sampling_frequency=FS)
    r_peaks = tool.find_rpeaks(x)
    found = tool.find_waves(tool.clean_ecg(x), rpeaks=r_peaks, include_nodetections=True)
    names = {"P": "P", "QRS": "R", "T": "T"}
    ends = {(wave, mark): found[f"{name}_{end}"]
            for wave, name in names.items() for mark, end in (("onset", "on"), ("offset", "off"))}
    return ends | {("P", "peak"): found["P"], ("QRS", "peak"): r_peaks, ("T", "peak"): found["T"]}


def biosppy_positions(x):
    out = biosppy.ecg(x, sampling_rate=FS, show=False)
    p, q, s, t = (get(out) for get in (biosppy.getPPositions, biosppy.getQPositions, biosppy.getSPositions,
                                       biosppy.getTPositions))
    return {("P", "onset"): p["P_start_positions"], ("P", "peak"): p["P_positions"],
            ("P", "offset"): p["P_end_positions"], ("QRS", "onset"): q["Q_start_positions"],
            ("QRS", "peak"): out["rpeaks"], ("QRS", "offset"): s["S_end_positions"],
            ("T", "onset"): t["T_start_positions"], ("T", "peak"): t["T_positions"],
            ("T", "offset"): t["T_end_positions"]}


def ecgdeli_port(x):
    found = ecgdeli.annotate(ecgdeli.filter_ecg(x, FS), FS).leads[0].samples
    inside = np.where(found < len(x), found, np.nan)  # the last T may run off the recording's end
    columns = dict(zip(ecgdeli.FPT_COLUMNS, inside.T))
    columns["QRS_peak"] = columns["R"]
    ends = {"onset": "on", "peak": "peak", "offset": "off"}
    return {(wave, mark): columns[f"{wave}_{end}"] for wave in ("P", "QRS", "T") for mark, end in ends.items()}


TOOLS = {
    "NeuroKit2 dwt": ("neurokit2", "MIT", neurokit("dwt")),
    "NeuroKit2 cwt": ("neurokit2", "MIT", neurokit("cwt")),
    "NeuroKit2 peak": ("neurokit2", "MIT", neurokit("peak")),
    "NeuroKit2 prominence": ("neurokit2", "MIT", neurokit("prominence")),
    "prominence-delineator": ("prominence-delineator", "GPL-3.0", prominence),
    "BioSPPy": ("biosppy", "BSD-3-Clause", biosppy_positions),
    "ECGdeli port": ("ecgdeli", "GPL-3.0-or-later", ecgdeli_port),
}


def rows(tool, record, marks):
    """One row for each wave of which anything was found."""
    table = pd.DataFrame({key: pd.Series([np.nan if at is None else at for at in values], dtype=float)
                          for key, values in marks.items()}) * 1000 / FS
    table.columns = pd.MultiIndex.from_tuples(table.columns, names=["wave", "mark"])
    table = table.rename_axis("beat").stack("wave", future_stack=True).dropna(how="all").reset_index()
    return table.assign(tool=tool, record=record)


def run(root, records, tool):
    package, licence, find = TOOLS[tool]
    signals = [lead_ii(root, record) for record in records]
    found, failed, seconds = [], 0, time.process_time()
    for record, x in zip(records, signals):
        try:
            found.append((record, find(x)))
        except Exception as error:  # whatever the tool could not cope with
            failed += 1
            print(f"{tool}, {record}: {type(error).__name__}: {error}")
    seconds = time.process_time() - seconds
    print(f"{tool}: {seconds:.1f} s", flush=True)
    timing = {"tool": tool, "version": version(package), "licence": licence, "leads": len(records), "failed": failed,
              "seconds_per_lead": round(seconds / len(records), 5)}
    return pd.concat([rows(tool, record, marks) for record, marks in found]), timing


def merged(name, table, left):
    """The table with the rows that its file has of the tools left out, in the order of TOOLS."""
    if left:
        kept = pd.read_csv(HERE / name, dtype={"version": str})
        table = pd.concat([kept[kept["tool"].isin(left)], table])
    return table.sort_values("tool", key=lambda tool: tool.map(list(TOOLS).index), kind="stable")


def main(root, tools):
    warnings.filterwarnings("ignore")
    records = (root / "RECORDS").read_text().split()
    waves, timings = zip(*(run(root, records, tool) for tool in tools))
    columns, left = ["tool", "record", "beat", "wave", "onset", "peak", "offset"], set(TOOLS) - set(tools)
    merged("lead_ii.csv.gz", pd.concat(waves)[columns], left).to_csv(
        HERE / "lead_ii.csv.gz", index=False, float_format="%g", compression={"method": "gzip", "mtime": 0})
    merged("timings.csv", pd.DataFrame(timings), left).to_csv(HERE / "timings.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(TOOLS))
