"""Speed of the parts that have a target, each beside an alternative that is timed in the same run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import wfdb
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from ecgkit.datasets import from_arrays, load
from ecgkit.evaluation import auroc, bootstrap, resample_patients
from ecgkit.explain.counterfactual.gan import load as load_explainer
from ecgkit.explain.results import classify
from ecgkit.leads import LEADS
from ecgkit.losses import nt_xent
from ecgkit.models import Classifier, Embedder, build_encoder
from ecgkit.physiology import delineate, measure
from ecgkit.progress import track
from ecgkit.simulator import Cohort
from ecgkit.training.methods import utah
from ecgkit.training.views import PretrainSettings, Recordings
from ecgkit.transforms import Perturb, random_crop

PTB_XL_IN_TWO_MINUTES = 21_799 / 120


@dataclass(frozen=True)
class Row:
    """One figure: what was measured, how many times better than the alternative, and whether its target is met."""

    name: str
    value: float
    unit: str
    against: str
    ratio: float
    target: float
    met: bool


def run_all(data: Path | None = None) -> pd.DataFrame:
    """Measure everything: a `Row` each. Records are read from a folder in PTB-XL's layout, or simulated ones."""
    with tempfile.TemporaryDirectory() as folder:
        root = data or write_records(Path(folder))
        benches: list[Callable[[], list[Row]]] = [simulator, evaluator, input_pipeline, contrast, pretraining,
                                                  measuring, counterfactual, lambda: reader(root)]
        return pd.DataFrame([row for bench in track(benches, "measuring", unit="part") for row in bench()])


def simulator(n: int = 4096) -> list[Row]:
    """Ten-second ECGs per second at 100 Hz, in bulk against one at a time."""
    cohort = Cohort(seed=0, fs=100)
    bulk = n / best(lambda: cohort.signals(range(n)))
    single = 64 / best(lambda: [cohort.signals([k]) for k in range(64)])
    return [Row("simulator", bulk, "ECGs/s", "one at a time", bulk / single, 6000, bulk >= 6000)]


def evaluator(n: int = 2000, n_labels: int = 5) -> list[Row]:
    """1,000 bootstraps of the macro AUROC against a loop over scikit-learn."""
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, 2, (n, n_labels))
    y_score = rng.normal(size=(n, n_labels)) + y_true
    patient = rng.integers(0, n * 9 // 10, n)
    seconds = best(lambda: bootstrap(auroc, y_true, y_score, patient, n_boot=1000))
    weights = np.concatenate(list(resample_patients(patient, n_boot=20)), axis=1)[:, :20]

    def loop() -> None:
        for weight in weights.T:
            drawn = np.repeat(np.arange(n), weight.astype(int))
            roc_auc_score(y_true[drawn], y_score[drawn], average="macro")

    by_loop = best(loop, repeats=2) * 1000 / weights.shape[1]
    return [Row("1,000 bootstraps of macro AUROC, 5 labels x 2,000 ECGs", seconds, "s", "scikit-learn loop",
                by_loop / seconds, 0.3, seconds <= 0.3)]


def input_pipeline(batch: int = 128) -> list[Row]:
    """Crop and perturbation as a share of a training step of the default classifier."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 12, 1000, generator=generator)
    model = Classifier(build_encoder("xresnet1d18"), ("A",), fs=100, crop_len=250)

    def prepare() -> torch.Tensor:
        return Perturb()(random_crop(x, 250, generator), 100, generator)

    ready = prepare()
    preparing = best(prepare)
    share = preparing / (preparing + best(lambda: model(ready).sum().backward()))
    return [Row("crop and perturbation, share of a training step", share, "", "forward and backward", 1 / share, 0.15,
                share <= 0.15)]


def contrast(n: int = 256, d: int = 128) -> list[Row]:
    """The masked core of all contrastive losses against NT-Xent written out plainly, forward and backward."""
    z = torch.randn(n, 2, d, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def plain() -> None:
        flat = functional.normalize(z.transpose(0, 1).flatten(0, 1), dim=1)
        similarity = (flat @ flat.T / 0.1).masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
        functional.cross_entropy(similarity, torch.arange(2 * n).roll(n)).backward()

    ours, theirs = best(lambda: nt_xent(z).backward(), repeats=20), best(plain, repeats=20)
    return [Row("contrastive core, time of a plain NT-Xent", ours / theirs, "", "plain NT-Xent", theirs / ours, 1.1,
                ours / theirs <= 1.1)]


def pretraining(batch: int = 128) -> list[Row]:
    """What drawing and augmenting the views costs of a step of `utah`."""
    data = from_arrays(Cohort(seed=0).signals(range(batch)), np.empty((batch, 0)), (), 100.0)
    source, method, settings = Recordings(data), utah(("guided",)), PretrainSettings(augment=utah().augment)
    generator, items = torch.Generator().manual_seed(0), torch.arange(batch)
    learner = method.learner(Embedder(build_encoder(method.encoder), fs=100.0, crop_len=250), settings, 1)

    def prepare() -> torch.Tensor:
        return method.views(source(items, generator), settings, generator)

    ready, drawn = prepare(), source(items, generator)
    step = best(lambda: method.loss(learner(ready), drawn, method.temperature, generator).backward())
    preparing = best(prepare)
    share = preparing / (preparing + step)
    return [Row("views of utah, share of a pretraining step", share, "", "forward and backward", 1 / share, 0.15,
                share <= 0.15)]


def measuring(n: int = 64) -> list[Row]:
    """Ten-second ECGs per second at 500 Hz: waves found and everything measured, in bulk against one at a time."""
    signals = Cohort(seed=0, fs=500).signals(range(n))
    bulk = n / best(lambda: measure(signals, 500))
    single = 8 / best(lambda: [measure(signals[k:k + 1], 500) for k in range(8)])
    found = n / best(lambda: delineate(signals, 500))
    return [Row("waves found", found, "ECGs/s", "the same and measured", found / bulk, 100, found >= 100),
            Row("waves found and measured", bulk, "ECGs/s", "one at a time", bulk / single, 100, bulk >= 100)]


def counterfactual(n: int = 32) -> list[Row]:
    """Milliseconds for a counterfactual of ten seconds by the shipped explainer and its twins, on two threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        signals, explainer = Cohort(seed=0, fs=100).signals(range(n)), load_explainer()
        said = classify(explainer.classifier, signals)[:, explainer.label_names.index("MI")] > 0
        wanted = np.where(said, 0.05, 0.95)
        bulk = 1000 * best(lambda: explainer(signals, {"MI": wanted})) / n
        few = range(min(4, n))
        single = 1000 * best(lambda: [explainer(signals[[k]], {"MI": wanted[k]}) for k in few]) / len(few)
    finally:
        torch.set_num_threads(threads)
    return [Row("counterfactual", bulk, "ms/ECG", "one at a time", single / bulk, 10, bulk <= 10)]


def reader(root: Path, n_plain: int = 200) -> list[Row]:
    """Reading a folder for the first time and again, against a plain loop over wfdb."""
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        data = load("ptbxl", root=root, cache=cache)
        rate = (len(data) + len(data.excluded)) / (time.perf_counter() - start)
        again = best(lambda: load("ptbxl", root=root, cache=cache), repeats=5)
    names = data.records["record"].head(n_plain)
    plain = len(names) / best(lambda: [wfdb.rdsamp(str(root / name)) for name in names], repeats=1)
    return [Row("reader, first time", rate, "records/s", "wfdb loop", rate / plain, PTB_XL_IN_TWO_MINUTES,
                rate >= PTB_XL_IN_TWO_MINUTES),
            Row("reader, store opened again", again, "s", "reading again", len(data) / rate / again, 0.2, again <= 0.2)]


def write_records(folder: Path, n: int = 1500) -> Path:
    """Write simulated ECGs as WFDB records, in PTB-XL's layout."""
    names = [f"{k:05d}_lr" for k in range(n)]
    # One count is a microvolt, as in PTB-XL.
    for name, signal in zip(names, Cohort(seed=0, fs=100).signals(range(n)), strict=True):
        wfdb.wrsamp(name, fs=100, units=["mV"] * 12, sig_name=list(LEADS), p_signal=signal.T.astype(float),
                    fmt=["16"] * 12, adc_gain=[1000.0] * 12, baseline=[0] * 12, write_dir=str(folder))
    pd.DataFrame({"patient_id": range(n), "scp_codes": "{'NORM': 100.0}", "strat_fold": 1, "filename_lr": names,
                  "filename_hr": names}).to_csv(folder / "ptbxl_database.csv", index=False)
    pd.DataFrame({"diagnostic": 1, "form": 0, "rhythm": 0, "diagnostic_class": "NORM", "diagnostic_subclass": "NORM"},
                 index=["NORM"]).to_csv(folder / "scp_statements.csv")
    return folder


def best(action: Callable[[], object], repeats: int = 3) -> float:
    """Seconds of the fastest of some calls, after one that warms up caches: others' load only ever adds time."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)
