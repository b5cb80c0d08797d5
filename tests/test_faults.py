"""A few damaged files, weights and killed runs: no crash, no hang, nothing foreign opened, and the same in the end."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.faults import Watch, damaged_weights, main, outcome


def test_faults_are_survived(tmp_path: Path) -> None:
    main(["--n", "60", "--kills", "1", "-o", str(tmp_path / "faults.csv")])
    table = pd.read_csv(tmp_path / "faults.csv").pivot_table(index=["part", "kind"], columns="outcome", values="n")
    assert not {"crashed", "hung", "opened foreign files", "other or none"} & set(table)
    tried = table[["read the same", "read otherwise", "refused in one line"]].sum(axis=1)
    assert tried["files"].to_dict() == dict.fromkeys(("CSV", "MAT", "NumPy", "header", "signal", "table"), 10)
    assert table.loc["kills", "equal"].to_dict() == dict.fromkeys(("batch", "gan", "ingest", "pretraining"), 1)


def test_all_weights_refuse_damage_in_one_line() -> None:
    for *_, count in damaged_weights(20, seed=1):
        assert set(count) <= {"read the same", "read otherwise", "refused in one line"}


def test_what_is_counted_as_a_fault(tmp_path: Path) -> None:
    def crashes() -> bool:
        raise ValueError("not told as a mistake in the input")

    assert outcome(crashes) == "crashed"
    watch = Watch()
    (tmp_path / "own").mkdir()
    for file in (tmp_path / "own" / "a.csv", tmp_path / "b.csv"):
        file.write_text("")
    (tmp_path / "own" / "link.csv").symlink_to(tmp_path / "b.csv")
    with watch.on(tmp_path / "own"):
        for name in ("own/a.csv", "b.csv", "own/link.csv"):
            (tmp_path / name).read_text()
    assert watch.foreign == [str(tmp_path / "b.csv")] * 2
