"""Page 11, its first half: features that no rule asks about are planted, and ways of discovery are asked for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.stats import binomtest, false_discovery_control, norm
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge

from ecgkit.datasets.base import ECGDataset
from ecgkit.evaluation import auroc
from ecgkit.explain.attribution.methods import attribute
from ecgkit.explain.attribution.players import REST, SEGMENTS, player_sums, segments
from ecgkit.explain.discovery.carried import LEAST_SHARE, RATE, answers, carried
from ecgkit.explain.discovery.shape import NAMES, Shapes
from ecgkit.leads import LEADS
from ecgkit.models import pretrained
from ecgkit.models.windowed import Classifier
from ecgkit.physiology import COLUMNS, measure
from ecgkit.progress import track
from ecgkit.simulator import PLANTS, Cohort
from ecgkit.study.counterfactuals import untrained
from ecgkit.training import Schedule, SupervisedSettings, train_classifier
from ecgkit.training.checkpoint import code_digest, run_file, whole

Array = NDArray[np.float64]
#: The label that a planted feature makes.
LABEL = "planted"
#: Heading of what is found where nothing was learnt.
NULL = "networks with a finding"
#: A decoy is in this share of the ECGs with the label, and of those without.
WITH, WITHOUT = 0.75, 0.25
#: A feature is used where the AUROC falls by so much without it; the aim counts these.
USED = 0.05
#: A decoy counts as used, and naming it as true, where the AUROC falls by so much without it.
DECOY_USED = 0.01
#: What a feature moves by this share of what it moves most, in standard deviations, is a true name of it.
TRUE_SHARE = 0.1
KINDS = ("trained", "shuffled", "random")
#: Short, from the simulator's encoder: a small feature is learnt in seconds.
SETTINGS = SupervisedSettings(dropout=0.2, schedule=Schedule(epochs=3, batch_size=64, learning_rate=3e-3,
                                                             averaging=0.95))
#: So many training ECGs teach a forest, and so many ECGs tell what a feature moves.
N_FOREST, N_MOVED = 1000, 60
SECONDS, FS = 3.75, 100.0


@dataclass(frozen=True)
class Question:
    """A planted feature in a dose, a decoy that goes along with it ("" for none), and what networks are asked."""

    plant: str
    dose: float
    decoy: str = ""
    kind: str = "trained"


def questions(n_plants: int, doses: Sequence[float]) -> list[Question]:
    """Evenly spaced features in every dose with a decoy, and in the middle one without.

    Networks that learnt nothing are asked at the largest dose, about every second feature. A feature's decoy is one of
    another wave: the one halfway round the list.
    """
    names, half = list(PLANTS), len(PLANTS) // 2
    pairs = [(names[k], names[(k + half) % len(names)]) for k in range(0, len(names), max(1, len(names) // n_plants))]
    middle, largest = sorted(doses)[len(doses) // 2], max(doses)
    return [*(Question(plant, dose, decoy) for (plant, decoy), dose in product(pairs, doses)),
            *(Question(plant, middle) for plant, _ in pairs),
            *(Question(plant, largest, decoy, kind) for kind in KINDS[1:] for plant, decoy in pairs[::2])]


@dataclass(frozen=True)
class Planted:
    """Simulated ECGs of a question: half have the planted feature, which is the label; the last `n_test` are asked."""

    question: Question
    n_train: int
    n_test: int
    seed: int = 29

    @property
    def cohort(self) -> Cohort:
        """Their hearts, with diseases as they come."""
        return Cohort(seed=self.seed, fs=FS, seconds=SECONDS)

    @cached_property
    def doses(self) -> Array:
        """`(n, n_plants)`."""
        rng, ask = np.random.default_rng(self.seed), self.question
        found = np.zeros((self.n_train + self.n_test, len(PLANTS)))
        has = rng.random(len(found)) < 0.5
        found[:, list(PLANTS).index(ask.plant)] = ask.dose * has
        if ask.decoy:
            there = rng.random(len(found)) < np.where(has, WITH, WITHOUT)
            found[:, list(PLANTS).index(ask.decoy)] = ask.dose * there
        return found

    @cached_property
    def data(self) -> ECGDataset:
        """The ECGs, with the label as it was taught: dealt out at random where networks are to learn nothing."""
        n = len(self.doses)
        truth = self.doses[:, list(PLANTS).index(self.question.plant)] > 0
        if self.question.kind == "shuffled":
            truth = np.random.default_rng(self.seed + 1).permutation(truth)
        records = pd.DataFrame({"record": np.arange(n).astype(str), "patient_id": np.arange(n)})
        signals = self.cohort.signals(range(n), doses=self.doses)
        return ECGDataset(signals, records, truth[:, None].astype(np.uint8), (LABEL,), FS, "planted features")

    @property
    def train(self) -> ECGDataset:
        """What networks learn from."""
        return self.data.subset(np.arange(self.n_train))

    @cached_property
    def test(self) -> ECGDataset:
        """What is asked about."""
        return self.data.subset(np.arange(self.n_train, len(self.doses)))

    @cached_property
    def shapes(self) -> Shapes:
        """Of the test ECGs."""
        return Shapes.of(self.test.signals, FS)

    @cached_property
    def known(self) -> Array:
        """Numbers of the training ECGs' shapes, `(n_train, n_numbers)`."""
        return Shapes.of(self.train.signals, FS).numbers

    def networks(self, n_networks: int) -> list[Classifier]:
        """As many networks, trained alike but for their seed."""
        if self.question.kind == "random":
            return [untrained(self.train, SETTINGS, seed) for seed in range(n_networks)]
        return [train_classifier(self.train, settings=SETTINGS, seed=seed, start=pretrained("simulator").encoder)[0]
                for seed in range(n_networks)]

    def signals_without(self, plant: str) -> NDArray[np.float32]:
        """The test ECGs with a feature dealt out anew at random."""
        doses = self.doses[self.n_train:].copy()
        k = list(PLANTS).index(plant)
        doses[:, k] = np.random.default_rng(self.seed).permutation(doses[:, k])
        return self.cohort.signals(self.test.records["patient_id"], doses=doses)

    def pair(self, plant: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Some test ECGs without a feature, and with it, without noise."""
        ids = self.test.records["patient_id"][:N_MOVED]
        doses = np.zeros((len(ids), len(PLANTS)))
        before = self.cohort.clean(ids, doses=doses)
        doses[:, list(PLANTS).index(plant)] = self.question.dose
        return before, self.cohort.clean(ids, doses=doses)


Networks = Sequence[Classifier]


def by_change(planted: Planted, networks: Networks) -> pd.DataFrame:
    """Ours: each number of the shape is changed by itself (`ecgkit.explain.discovery`)."""
    logits, slopes = answers(networks, planted.shapes)
    numbers = np.concatenate([planted.known, planted.shapes.numbers])
    return carried(logits[..., 0], slopes[:, :, 0], numbers, planted.data.labels[:, 0], np.arange(len(numbers)),
                   asked=np.arange(len(numbers)) >= planted.n_train)


def by_attribution(planted: Planted, networks: Networks) -> pd.DataFrame:
    """Expected gradients, summed over each lead's P, QRS, ST and T."""
    normal = planted.train.signals[planted.train.labels[:, 0] == 0][:64]
    parts = segments(planted.shapes.waves, planted.test.sig_len)
    sums = [player_sums(attribute(each, planted.test.signals, LABEL, background=normal, n_samples=4), parts)
            for each in networks]
    return _tested(np.stack(sums)[..., :REST].reshape(len(networks), planted.n_test, -1), planted, CELLS)


def by_probe(planted: Planted, networks: Networks) -> pd.DataFrame:
    """Where each number of the shape lies in the embedding, and how the last layer answers to that (Kim et al. 2018).

    Directions are of a regression of the embedding on the numbers, so that each is with the others held.
    """
    known, asked = planted.known, planted.shapes.numbers
    middle, spread = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
    filled, away = (np.nan_to_num((values - middle) / spread) for values in (known, asked))
    parts = []
    for each in networks:
        directions = Ridge(alpha=1.0).fit(filled, each.embedder().embed(planted.train.signals)).coef_.T
        with torch.no_grad():
            along, zero = (each.head(torch.from_numpy(some.astype(np.float32)))[:, 0].numpy()
                           for some in (directions, np.zeros_like(directions)))
        parts.append(away * (along - zero))
    return _tested(np.stack(parts), planted, NAMES)


def by_forest(planted: Planted, networks: Networks) -> pd.DataFrame:
    """Tree SHAP (Lundberg et al. 2020) of as many forests on measurements, which never ask the networks."""
    from shap import TreeExplainer  # takes seconds

    learnt = planted.train.subset(np.arange(min(N_FOREST, planted.n_train)))
    train, test = (measure(data.signals, FS).table for data in (learnt, planted.test))
    middle = train.median().fillna(0)
    parts = []
    for seed in range(len(networks)):
        forest = RandomForestClassifier(100, max_features=0.2, min_samples_leaf=3, max_depth=8, random_state=seed)
        forest.fit(train.fillna(middle), learnt.labels[:, 0])
        parts.append(TreeExplainer(forest).shap_values(test.fillna(middle))[..., 1])
    return _tested(np.stack(parts), planted, tuple(COLUMNS))


def _tested(parts: Array, planted: Planted, names: Sequence[str]) -> pd.DataFrame:
    """Parts `(n_networks, n, m)` of what is said of ECGs, tested as ours are: by how much they set the label apart."""
    truth = planted.test.labels[:, 0] == 1
    apart = parts[:, truth].mean(axis=1) - parts[:, ~truth].mean(axis=1)
    mean = parts.mean(axis=0)
    error = np.sqrt(mean[truth].var(axis=0) / truth.sum() + mean[~truth].var(axis=0) / (~truth).sum())
    q = false_discovery_control(2 * norm.sf(np.abs(apart.mean(axis=0)) / np.maximum(error, 1e-12)))
    shares = apart / apart.sum(axis=1, keepdims=True)
    return pd.DataFrame({"share": shares.mean(axis=0), "q": q,
                         "found": (q <= RATE) & (shares.min(axis=0) >= LEAST_SHARE)}, index=list(names))


CELLS = tuple(f"{segment} in {lead}" for lead in LEADS for segment in SEGMENTS[:REST])


@lru_cache(maxsize=2)  # two ways name numbers, of the same feature and the same decoy
def moved_numbers(planted: Planted, plant: str) -> Array:
    """How far a feature moves each number of the shape, in standard deviations."""
    return _moved(*(Shapes.of(signals, FS).numbers for signals in planted.pair(plant)))


def moved_columns(planted: Planted, plant: str) -> Array:
    """How far a feature moves each measurement, in standard deviations."""
    return _moved(*(measure(signals, FS).table.to_numpy() for signals in planted.pair(plant)))


def moved_cells(planted: Planted, plant: str) -> Array:
    """How much a feature changes each lead's P, QRS, ST and T: the energy of the difference."""
    before, after = planted.pair(plant)
    parts = segments(Shapes.of(before, FS).waves, before.shape[2])
    return np.sqrt(player_sums(np.square(after - before), parts)[..., :REST].mean(axis=0).ravel())


def _moved(before: Array, after: Array) -> Array:
    both = np.isfinite(before) & np.isfinite(after)
    change = np.where(both, after - before, 0).sum(axis=0) / np.maximum(both.sum(axis=0), 1)
    return np.abs(change) / np.maximum(np.nanstd(before, axis=0), 1e-9)


class Way(NamedTuple):
    """A way of discovery: what it says, and how far each thing that it can name is moved by a feature."""

    ask: Callable[[Planted, Networks], pd.DataFrame]
    moved: Callable[[Planted, str], Array]


WAYS: Mapping[str, Way] = {
    "one change at a time": Way(by_change, moved_numbers), "expected gradients": Way(by_attribution, moved_cells),
    "probes of the embedding": Way(by_probe, moved_numbers), "Tree SHAP of a forest": Way(by_forest, moved_columns)}


def asked(question: Question, *, n_train: int, n_test: int, n_networks: int, ways: Sequence[str],
          folder: Path) -> pd.DataFrame:
    """What every way of discovery says to a question, one row each; kept in a folder and read from there.

    Beside the question: `auroc` of the networks (mean); `used` and `decoy_used`, how far it falls where the feature, or
    the decoy, is dealt out anew; `hit`, whether a true name was found, and its `rank` by share; `n_found`, `n_false`
    (names of nothing that is planted and used), `decoy_named`, and the `names` found.
    """
    sizes = {"n_train": n_train, "n_test": n_test, "n_networks": n_networks}
    told = {"task": "planted", **asdict(question), **sizes, "ways": list(ways),
            "asks": code_digest("simulator", "physiology", "explain", "study")}
    file = run_file(folder, told).with_suffix(".csv")
    if not file.is_file():
        torch.set_num_threads(1)
        planted = Planted(question, n_train, n_test)
        networks = planted.networks(n_networks)
        about = {**asdict(question), **_used(planted, networks)}
        rows = [about | {"way": name} | _judged(planted, networks, WAYS[name], about["decoy_used"]) for name in ways]
        with whole(file) as partial:
            pd.DataFrame(rows).to_csv(partial, index=False)
    return pd.read_csv(file, keep_default_na=False, na_values=["nan"])


def _used(planted: Planted, networks: Networks) -> dict[str, float]:
    def score(signals: NDArray[np.float32]) -> float:
        return float(np.mean([auroc(planted.test.labels, each.predict(signals))[0] for each in networks]))

    ask, all_ = planted.question, score(planted.test.signals)
    return {"auroc": all_, "used": all_ - score(planted.signals_without(ask.plant)),
            "decoy_used": all_ - score(planted.signals_without(ask.decoy)) if ask.decoy else 0.0}


def _judged(planted: Planted, networks: Networks, way: Way, decoy_used: float) -> dict[str, float | str]:
    """How what a way says stands beside what is true."""
    said, ask = way.ask(planted, networks), planted.question
    true, decoy = (_names(way.moved(planted, name)) if name else np.zeros(len(said), dtype=bool)
                   for name in (ask.plant, ask.decoy))
    found, order = said["found"].to_numpy(), said["share"].rank(ascending=False).to_numpy()
    meant = (true | (decoy & (decoy_used >= DECOY_USED))) & (ask.kind == "trained")
    return {"hit": float((found & true).any()), "rank": float(order[true].min()), "n_found": int(found.sum()),
            "n_false": int((found & ~meant).sum()), "decoy_named": float((found & decoy & ~true).any()),
            "names": "; ".join(said.index[found])}


def _names(moved: Array) -> NDArray[np.bool_]:
    return moved >= TRUE_SHARE * moved.max()


def ask_all(questions: Sequence[Question], folder: Path, *, n_jobs: int = 1, **sizes: Any) -> pd.DataFrame:
    """`asked` of all questions, several at a time."""
    answers = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(asked)(question, folder=folder, **sizes) for question in questions)
    return pd.concat(track(answers, "asking planted questions", total=len(questions), unit="question"),
                     ignore_index=True)


def _share_of(hits: pd.Series[float]) -> str:
    """A share of questions with its 95 % interval (Wilson 1927)."""
    if not len(hits):
        return "–"
    low, high = binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
    return f"{hits.mean():.2f} ({low:.2f}–{high:.2f})"


def by_way(asked: pd.DataFrame) -> pd.DataFrame:
    """For print: how each way of discovery did, over questions to networks that use the feature and to all."""
    rows = {}
    for way, mine in asked.groupby("way", sort=False):
        trained, none = mine[mine["kind"] == "trained"], mine[mine["kind"] != "trained"]
        used = trained[trained["used"] >= USED]
        decoys = trained[(trained["decoy"] != "") & (trained["decoy_used"] < DECOY_USED)]
        rows[way] = {"found, of used": _share_of(used["hit"]), "questions": len(used),
                     "mean rank": f"{used['rank'].mean():.1f}",
                     "false, of found": f"{trained['n_false'].sum():.0f} of {trained['n_found'].sum():.0f}",
                     "unused decoys named": f"{decoys['decoy_named'].sum():.0f} of {len(decoys)}",
                     **{f"{kind} {NULL}": f"{(part['n_found'] > 0).sum()} of {len(part)}"
                        for kind, part in none.groupby("kind", sort=False)}}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("way")


def by_dose(asked: pd.DataFrame) -> pd.DataFrame:
    """For print: the share of features found in each dose, and how much networks use them."""
    trained = asked[(asked["kind"] == "trained") & (asked["decoy"] != "")]
    table = trained.pivot_table(index="dose", columns="way", values="hit", sort=False).map("{:.2f}".format)
    used = trained[trained["way"] == trained["way"].iloc[0]].groupby("dose", sort=False)["used"]
    return table.assign(**{"AUROC falls by": used.median().map("{:.2f}".format),
                           "used": used.agg(lambda fall: f"{(fall >= USED).sum()} of {len(fall)}")})


def words(asked: pd.DataFrame) -> dict[str, str]:
    """What the prose of the page says of the planted features, for the first way."""
    table = by_way(asked).to_dict("index")
    first, *others = table
    ours = table[first]
    none = [f"{said} {name.removesuffix(NULL).strip()}" for name, said in zip(
        map(str, ours), ours.values(), strict=True) if name.endswith(NULL)]
    return {"recall": str(ours["found, of used"]), "n_used": str(ours["questions"]),
            "false": str(ours["false, of found"]), "decoys": str(ours["unused decoys named"]),
            "n_plants": str(asked["plant"].nunique()), "n_doses": str(asked["dose"].nunique()),
            "nothing": ", ".join(none) or "not asked",
            "others": ", ".join(f"{str(table[way]['found, of used'])[:4]} ({way})" for way in others)}
