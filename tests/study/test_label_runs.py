"""Tests of the label-efficiency study: what a row is, no leakage, nothing trained twice, the same after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from ecgkit.datasets import synthetic
from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc, macro
from ecgkit.models import build_encoder
from ecgkit.models.windowed import Embedder
from ecgkit.study import label_runs as module
from ecgkit.study.label_runs import FEW, MEASURED, MODES, StudySettings, label_study
from ecgkit.training.few_labels import FewLabelClassifier
from ecgkit.training.finetune import FinetuneSettings
from ecgkit.training.forest import Bins, random_forest
from ecgkit.training.loop import Schedule
from ecgkit.training.measured import Filled, MeasuredFeatures
from ecgkit.training.pretrain import PretrainSettings
from ecgkit.training.probe import HeadSettings, Standard, linear_probe
from ecgkit.training.supervised import SupervisedSettings

SMALL: dict[str, Any] = {"widths": [8, 8, 8, 8]}
QUICK = StudySettings(
    finetune=FinetuneSettings(steps=3, epochs=0, batch_size=8, strengths=(1e-2, 1e-1)), head=HeadSettings(steps=5),
    scratch=SupervisedSettings(encoder_options=SMALL, crop_seconds=1.25, schedule=Schedule(epochs=1, batch_size=16)),
    n_trees=5, least_steps=3)


@pytest.fixture(scope="module")
def data() -> ECGDataset:
    return cohort()


def cohort() -> ECGDataset:
    return synthetic.load(n_patients=100, seconds=2.5)


def small_embedder(seed: int = 0) -> Embedder:
    torch.manual_seed(seed)
    return Embedder(build_encoder("xresnet1d18", **SMALL), fs=100, crop_len=125, millivolts=0.3).eval()


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> MeasuredFeatures:
    return MeasuredFeatures(100, folder=tmp_path_factory.mktemp("measurements"))


def study(data: ECGDataset, folder: Path, mode: str = "linear probe", measured: MeasuredFeatures | None = None,
          **options: Any) -> pd.DataFrame:
    wanted: dict[str, Any] = {"fractions": [0.1, 0.5], "seeds_low": 2, "seeds_high": 1, "settings": QUICK, **options}
    return label_study(data, measured if mode in MEASURED else small_embedder(), mode=mode, folder=folder, **wanted)


@pytest.mark.parametrize("mode", MODES)
def test_rows_say_what_was_spent_and_keep_all_predictions(data: ECGDataset, measured: MeasuredFeatures, tmp_path: Path,
                                                          mode: str) -> None:
    rows = study(data, tmp_path, mode, measured)
    assert rows[["mode", "fraction", "seed"]].to_numpy().tolist() == [[mode, 0.1, 0], [mode, 0.1, 1], [mode, 0.5, 0]]
    for row in (pd.Series(line) for line in rows.to_dict("records")):
        few = data.train.label_fraction(row.fraction, row.seed)
        assert (row.n_labels, row.n_patients, row.n_validation_labels) == (len(few), few.n_patients, 0)
        kept = np.load(tmp_path / row.predictions)
        for name, part, value in (("validation", data.validation, row.auroc_validation),
                                  ("test", data.test, row.auroc_test)):
            assert kept[name].shape == part.labels.shape
            assert kept[name].dtype == np.float32
            assert value == pytest.approx(macro(auroc(part.labels, kept[name])), nan_ok=True)
        assert row.seconds > 0
    assert len(list(tmp_path.iterdir())) == 3, "nothing else is left behind"


def test_the_linear_probe_sees_the_labelled_ecgs_and_the_statistics_of_all(data: ECGDataset, tmp_path: Path) -> None:
    rows = study(data, tmp_path)
    embedder, few = small_embedder(), data.train.label_fraction(0.1, 1)
    probe = linear_probe(embedder.embed(few.signals), few.labels, groups=few.records["patient_id"], seed=1,
                         standard=Standard.of(embedder.embed(data.train.signals)), strengths=(1e-2, 1e-1))
    kept = np.load(tmp_path / rows["predictions"][1])["test"]
    np.testing.assert_allclose(kept, probe.predict(embedder.embed(data.test.signals)), atol=1e-5)


def test_classifiers_of_measurements_see_the_labelled_ecgs_and_the_statistics_of_all(
        data: ECGDataset, measured: MeasuredFeatures, tmp_path: Path) -> None:
    few = data.train.label_fraction(0.5, 0)
    known, asked = measured.embed(few.signals), measured.embed(data.test.signals)
    every = Filled.of(measured.embed(data.train.signals))
    as_they_are = Standard(np.zeros(1), np.ones(1))
    probe = linear_probe(every(known), few.labels, groups=few.records["patient_id"], seed=0, strengths=(1e-2, 1e-1),
                         standard=as_they_are)
    bins = Bins.of(measured.embed(data.train.signals))
    forest, _ = random_forest(known, few.labels, seed=0, n_trees=5, bins=bins)
    for mode, told in (("logistic regression", probe.predict(every(asked))), ("random forest", forest.predict(asked))):
        row, = study(data, tmp_path, mode, measured, fractions=[0.5])["predictions"]
        np.testing.assert_allclose(np.load(tmp_path / row)["test"], told, atol=1e-5)


def test_the_few_label_classifier_sees_the_others_without_their_labels(data: ECGDataset, tmp_path: Path) -> None:
    row, = study(data, tmp_path, FEW, fractions=[0.5], measurements=tmp_path / "measured")["predictions"]
    few, embedder = data.train.label_fraction(0.5, 0), small_embedder()
    labelled = np.isin(data.train.rows, few.rows)
    model = FewLabelClassifier(encoder=embedder, n_trees=5)
    model.fit(few.signals, few.labels, groups=few.records["patient_id"],
              unlabelled=np.asarray(data.train.signals)[~labelled])
    np.testing.assert_allclose(np.load(tmp_path / row)["test"], model.predict_proba(data.test.signals), atol=1e-3)
    assert list((tmp_path / "measured").iterdir())


def test_rules_are_seen_where_the_mode_asks_for_them(data: ECGDataset, measured: MeasuredFeatures,
                                                     tmp_path: Path) -> None:
    seen = []

    class Watching(MeasuredFeatures):
        def embed(self, signals: Any) -> Any:
            seen.append(self.rules)
            return super().embed(signals)

    for mode in ("random forest", "forest with rules"):
        study(data, tmp_path, mode, Watching(100, measured.folder), fractions=[0.5])
    assert seen == [False] * 3 + [True] * 3


@pytest.mark.parametrize("mode", MODES)
def test_no_patient_of_validation_or_test_is_learnt_from_and_subsets_are_nested(
        data: ECGDataset, measured: MeasuredFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        mode: str) -> None:
    seen: list[set[object]] = []
    original = module._Study._predict

    def watched(self: module._Study, few: ECGDataset, seed: int) -> module.Predictions:
        seen.append(set(few.records["patient_id"]))
        return original(self, few, seed)

    monkeypatch.setattr(module._Study, "_predict", watched)
    # Labels of held-out ECGs turned round must change no prediction.
    held_out = data.records["strat_fold"].isin([9, 10]).to_numpy()
    turned = replace(data, labels=np.where(held_out[:, None], 1 - data.labels, data.labels).astype(np.uint8))
    rows, others = (study(part, tmp_path, mode, measured, seeds_low=1) for part in (data, turned))
    assert rows["predictions"].tolist() != others["predictions"].tolist()
    for one, other in zip(rows["predictions"], others["predictions"], strict=True):
        np.testing.assert_array_equal(np.load(tmp_path / one)["test"], np.load(tmp_path / other)["test"])
    outside = set(data.validation.records["patient_id"]) | set(data.test.records["patient_id"])
    assert all(not patients & outside for patients in seen)
    assert seen[0] < seen[1] <= set(data.train.records["patient_id"])


def test_another_delineator_or_another_forest_makes_another_row(
        data: ECGDataset, measured: MeasuredFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count(monkeypatch)
    study(data, tmp_path, "random forest", measured, fractions=[0.5])
    study(data, tmp_path, "random forest", replace(measured, folder=None), fractions=[0.5])
    assert len(calls) == 1, "where measurements are kept does not matter"
    larger = replace(QUICK, n_trees=6)
    study(data, tmp_path, "random forest", measured, fractions=[0.5], settings=larger)
    assert len(calls) == 2
    monkeypatch.setattr(MeasuredFeatures, "identity", lambda _: {"delineator": "another"})
    study(data, tmp_path, "random forest", measured, fractions=[0.5])
    assert len(calls) == 3


def test_at_all_labels_seeds_differ_in_training_alone(data: ECGDataset, tmp_path: Path) -> None:
    rows = study(data, tmp_path, "frozen head", fractions=[1.0], seeds_high=2)
    assert rows["n_labels"].tolist() == [len(data.train)] * 2
    first, second = (np.load(tmp_path / name)["test"] for name in rows["predictions"])
    assert not np.array_equal(first, second)


def count(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    original = module._Study._predict

    def counted(self: module._Study, few: ECGDataset, seed: int) -> module.Predictions:
        calls.append(seed)
        return original(self, few, seed)

    monkeypatch.setattr(module._Study, "_predict", counted)
    return calls


def test_a_row_that_is_there_is_neither_trained_nor_embedded_again(data: ECGDataset, tmp_path: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    calls, original = count(monkeypatch), Embedder.embed
    embedded: list[int] = []

    def watched(self: Embedder, signals: NDArray[np.float32], batch_size: int = 64) -> NDArray[np.float32]:
        embedded.append(len(signals))
        return original(self, signals, batch_size)

    monkeypatch.setattr(Embedder, "embed", watched)
    rows = study(data, tmp_path)
    assert (len(calls), embedded) == (3, [len(data.train), len(data.validation), len(data.test)])
    assert study(data, tmp_path).equals(rows)
    assert (len(calls), len(embedded)) == (3, 3)
    more = study(data, tmp_path, seeds_low=3)
    assert calls[3:] == [2], "one seed more is one row more"
    assert more.drop(index=2).reset_index(drop=True).equals(rows)
    assert study(data, tmp_path / "other", known=tmp_path).equals(rows), "taken over from another study's folder"
    assert (len(calls), len(list((tmp_path / "other").iterdir()))) == (4, 3)


def test_whatever_decides_a_row_makes_it_another(data: ECGDataset, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count(monkeypatch)
    options: dict[str, Any] = {"mode": "linear probe", "folder": tmp_path, "fractions": [0.5], "seeds_high": 1,
                               "settings": QUICK}
    label_study(data, small_embedder(), **options)
    moved = data.records.assign(strat_fold=data.records["strat_fold"] % 10 + 1)
    weaker = replace(QUICK, finetune=replace(QUICK.finetune, strengths=(1.0,)))
    windows = small_embedder()
    windows.crop_len = 200
    label_study(data, small_embedder(1), **options)
    label_study(data, windows, **options)
    label_study(data.with_labels(["MI", "CD"]), small_embedder(), **options)
    label_study(replace(data, records=moved), small_embedder(), **options)
    label_study(data, small_embedder(), **options | {"settings": weaker})
    label_study(data, small_embedder(), **options | {"mode": "frozen head"})
    assert len(calls) == 7
    label_study(data, small_embedder(), **options | {"settings": replace(QUICK, head=HeadSettings(steps=9))})
    assert len(calls) == 7, "settings of another mode do not matter"
    label_study(data, None, **options | {"mode": "scratch"})
    label_study(data, small_embedder(1), **options | {"mode": "scratch"})
    assert len(calls) == 8, "scratch does not look at the encoder"


def test_a_killed_study_goes_on_and_ends_the_same(data: ECGDataset, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    script = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from ecgkit.study import label_runs as study
        from tests.study.test_label_runs import cohort, study as run
        row = study._Study.row
        def slow(self, fraction, seed):
            time.sleep(0.2)
            return row(self, fraction, seed)
        study._Study.row = slow
        run(cohort(), Path({str(killed)!r}), "fine-tuned")
    """)
    # Another number of threads sums in another order.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 60
    while not list(killed.glob("*.npz")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 1 <= len(list(killed.glob("*.npz"))) < 3
    calls = count(monkeypatch)
    resumed, uninterrupted = study(data, killed, "fine-tuned"), study(data, whole, "fine-tuned")
    assert 3 < len(calls) < 6
    assert resumed.drop(columns="seconds").equals(uninterrupted.drop(columns="seconds"))
    for name in resumed["predictions"]:
        np.testing.assert_array_equal(np.load(killed / name)["test"], np.load(whole / name)["test"])


def test_scratch_has_a_least_number_of_steps() -> None:
    settings = StudySettings(scratch=SupervisedSettings(schedule=Schedule(epochs=30, batch_size=128)), least_steps=300)
    epochs = {n: settings.scratch_for(n).schedule.epochs for n in (26, 128, 250, 2600)}
    assert epochs == {26: 300, 128: 300, 250: 300, 2600: 30}
    assert settings.scratch_for(640).schedule.epochs * 5 == 300


def test_a_damaged_file_is_named_and_kept(data: ECGDataset, tmp_path: Path) -> None:
    rows = study(data, tmp_path)
    file = tmp_path / rows["predictions"][0]
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(EcgkitError, match="predictions are damaged; remove the file"):
        study(data, tmp_path)
    assert file.stat().st_size == 200


def test_mistakes_are_told_in_one_line(data: ECGDataset, tmp_path: Path) -> None:
    with pytest.raises(EcgkitError, match="no mode 'linear'; choose from linear probe, frozen head, fine-tuned"):
        study(data, tmp_path, "linear")
    for wrong in ([], [0.0, 0.5], [0.5, 1.5]):
        with pytest.raises(EcgkitError, match="give at least one, all above 0 and up to 1"):
            study(data, tmp_path, fractions=wrong)
    with pytest.raises(EcgkitError, match="0 seeds: give at least 1"):
        study(data, tmp_path, seeds_high=0)
    with pytest.raises(EcgkitError, match="no labels to study"):
        study(data.with_labels([]), tmp_path)
    with pytest.raises(EcgkitError, match="no test ECG"):
        study(data.folds(1, 9), tmp_path)
    with pytest.raises(EcgkitError, match="give an embedder"):
        label_study(data, None, mode="fine-tuned", folder=tmp_path)
    with pytest.raises(EcgkitError, match="random forest: give MeasuredFeatures"):
        label_study(data, small_embedder(), mode="random forest", folder=tmp_path)
    with pytest.raises(EcgkitError, match="linear probe: give an embedder"):
        label_study(data, MeasuredFeatures(100), mode="linear probe", folder=tmp_path)
    with pytest.raises(EcgkitError, match="measurements of 500 Hz were asked for"):
        label_study(data, MeasuredFeatures(500), mode="random forest", folder=tmp_path)
    with pytest.raises(EcgkitError, match="the encoder expects 500 Hz"):
        label_study(data, Embedder(small_embedder().encoder, fs=500, crop_len=125), mode="fine-tuned", folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_studies_of_several_modes_are_one_table_and_print_the_mean_over_seeds(data: ECGDataset, tmp_path: Path) -> None:
    wanted = [("superclass", "linear probe"), ("superclass", "frozen head")]
    rows = module.label_studies({"superclass": data}, small_embedder(), tmp_path, wanted=wanted, settings=QUICK,
                                fractions=[0.1], seeds_low=2)
    assert rows[["task", "mode", "seed"]].to_numpy().tolist() == [[*pair, seed] for pair in wanted for seed in (0, 1)]
    assert all((tmp_path / name).is_file() for name in rows["predictions"])
    assert pd.read_csv(tmp_path / "study.csv")["predictions"].tolist() == rows["predictions"].tolist()
    shown = module.printed_study(rows).loc[("superclass", "linear probe", 0.1)]
    assert shown["fold 9"] == round(rows["auroc_validation"][:2].mean(), 3)
    assert shown["labelled ECGs"] == round(rows["n_labels"][:2].mean())


def test_an_encoder_is_drawn_or_pretrained_and_described(data: ECGDataset, tmp_path: Path) -> None:
    settings = PretrainSettings(encoder="xresnet1d18", fs=100)
    embedder, history, taught = module.encoder_of("random", None, data, settings, seed=0, start=None,
                                                  checkpoints=tmp_path, device="cpu")
    told = {"title": "t", "about": module.about("random"), "real": False, "n_unlabelled": 0, "epochs": 0,
            "n_parameters": 1234}
    assert (len(history), taught, told["about"]) == (0, None, "random weights, never trained")
    words = module.words(told, history, embedder.n_features)
    assert (words["pre_n_unlabelled"], words["pre_rank"], words["pre_n_parameters"]) == ("no recorded", "nan", "1,234")
    learnt = pd.DataFrame({"effective_rank": [9.0, 1.4]})
    words = module.words(told | {"real": True, "n_unlabelled": 4321}, learnt, 7)
    assert (words["pre_n_unlabelled"], words["pre_rank"], words["pre_collapse"]) == ("4,321", "1", "has collapsed")
    rows = pd.DataFrame({"mode": "linear probe", "task": "superclass", "fraction": [0.1, 0.1],
                         "auroc_validation": [0.7, 0.8]})
    card = module.card_of(told, data, rows)
    assert (card["fold_9_probe"], card["data"], card["title"]) == ({"0.1": 0.75}, "simulated ECGs", "t")
