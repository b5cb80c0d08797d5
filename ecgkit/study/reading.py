"""Page 13, the reading study: a blinded set of real and edited ECGs as one HTML page, and the scores of its readers."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.describe import write_summary
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import Bootstrap, auroc, bootstrap, macro, means, resample_patients, with_ends
from ecgkit.explain.baselines import NearestUnlikeNeighbour
from ecgkit.explain.battery.examine import Bench, ask, make_bench, questions
from ecgkit.explain.battery.judges import rule_oracle
from ecgkit.explain.counterfactual.gan import CounterfactualGAN
from ecgkit.explain.report.slider import asset, render, still_panels
from ecgkit.explain.results import NORMAL
from ecgkit.physiology import judge, measure
from ecgkit.physiology.rules import STEPS
from ecgkit.physiology.verdicts import DEFINITIONS, verdict_matrix

#: What is shown (as it was recorded; the explainer's answer; a real ECG of another patient, the nearest that the
#: network reads as asked), whether as the second of a pair, and how often for each `n_each`.
ARMS = (("real", False, 1), ("neighbour", False, 1), ("edited", False, 2), ("edited", True, 1), ("neighbour", True, 1))
#: The arm of the example. So many ECGs are asked each question for each `n_each`: some get no answer.
_EXAMPLE, _ASKED = 3, 4
#: What may be answered, and the words on the page.
VERDICTS = {"real": "real", "edited": "edited", "cannot tell": "cannot tell"}
SURE = {1: "a guess", 2: "fairly sure", 3: "sure"}
FITS = {"fits": "it fits", "partly": "partly", "does not fit": "it does not fit"}
#: A diagnosis for ECGs that show none of the labels.
NONE = "none"
WORDS = {"NORM": "normal ECG", "MI": "myocardial infarction", "STTC": "ST or T change",
         "CD": "conduction disturbance", "HYP": "hypertrophy", NONE: "none of these"}
#: The stand-in where no person has read; the files of a study, and what a key says of each case.
MACHINE = "rules (machine)"
KEY, PAGE, _SAVED = "reading_key.json", "reading.html", "answers*.json"
_TOLD = {"kind", "pair", "label", "labels", "patient_id"}


@dataclass(frozen=True)
class Case:
    """What a reader sees: an ECG `(1, 12, sig_len)` in mV, or before and after `(2, 12, sig_len)`, and whose it is.

    Age in years; sex 0 male, 1 female. Of a pair also the `label` that was asked about and the `wanted` probability.
    """

    id: str
    signals: NDArray[np.float32]
    age: float
    sex: float
    label: str = ""
    wanted: float = np.nan

    @property
    def who(self) -> str:
        """Age and sex in words."""
        age = f"{self.age:.0f} years" if np.isfinite(self.age) else "age unknown"
        return f"{age}, {'woman' if self.sex == 1 else 'man' if self.sex == 0 else 'sex unknown'}"


@dataclass(frozen=True)
class ReadingSet:
    """The cases in their order, single ECGs before pairs: all that a page or a blinded reader is given."""

    cases: tuple[Case, ...]
    label_names: tuple[str, ...]
    fs: float
    data: str

    @cached_property
    def id(self) -> str:
        """Digest of the cases, 16 hex digits: ties page, key and answers."""
        digest = hashlib.sha256()
        for case in self.cases:
            digest.update(f"{case.id} {case.label} {case.wanted}".encode())
            digest.update(np.ascontiguousarray(case.signals).tobytes())
        return digest.hexdigest()[:16]


def make_set(explainer: CounterfactualGAN, cohort: ECGDataset, *, n_each: int = 5,
             seed: int = 0) -> tuple[ReadingSet, dict[str, Any], Case]:
    """Draw a set of six times `n_each` cases, its key, and one more pair as an example.

    Questions about ECGs of fold 10 that both the explainer and the nearest unlike neighbour (of folds 1 to 8) answer
    are dealt to `ARMS` at random, labels in turn. No patient is in two cases. Other labels or another rate than the
    explainer's, and too few answered questions, raise an EcgkitError.
    """
    if (cohort.label_names, cohort.fs) != (explainer.label_names, explainer.fs):
        raise EcgkitError(f"{cohort.name} has labels {', '.join(cohort.label_names)} at {cohort.fs:g} Hz; load it as "
                          f"the explainer knows it: {', '.join(explainer.label_names)} at {explainer.fs:g} Hz")
    rng, train, bench = np.random.default_rng(seed), cohort.train, make_bench(cohort, explainer.classifier, {})
    good, edited = _answered(explainer, bench, train, n_each, seed)
    arms = [arm for arm, (_, _, times) in enumerate(ARMS) for _ in range(times * n_each)]
    if len(good) <= len(arms):
        raise EcgkitError(f"{cohort.name}: {len(good)} questions about test ECGs have an answer, and {len(arms) + 1} "
                          "are needed; lower n_each, or give more ECGs")
    ids = [f"{number:05x}" for number in rng.choice(16**5, len(arms) + 1, replace=False)]
    cases, told = list[Case](), dict[str, dict[str, Any]]()
    for name, arm, q in zip(ids, [*rng.permutation(arms), _EXAMPLE], good, strict=False):
        kind, pair, _ = ARMS[arm]
        data, row = (train, q.near) if kind == "neighbour" else (bench.data, q.row)
        seen = edited[q.Index] if kind == "edited" else data.batch([row])[0]
        whose = bench.data.records.iloc[q.row] if pair else data.records.iloc[row]
        cases.append(Case(name, np.stack([*bench.data.batch([q.row])[:pair], seen]), float(whose["age"]),
                          float(whose["sex"]), *((q.label, q.wanted) if pair else ())))
        has = set(np.array(data.label_names)[data.labels[row].astype(bool)].tolist())
        if kind == "edited":
            has = (has | {q.label}) - {NORMAL} if q.wanted > 0.5 else has - {q.label}
        told[name] = {"kind": kind, "pair": pair, "label": q.label, "wanted": q.wanted, "labels": sorted(has),
                      **data.records.iloc[row][["record", "patient_id"]].astype(str)}
    *cases, example = cases
    # Pairs show what edits look like, so they come after the single ECGs.
    cases = sorted((cases[k] for k in rng.permutation(len(cases))), key=lambda case: bool(case.label))
    reading = ReadingSet(tuple(cases), cohort.label_names, cohort.fs, cohort.name)
    key = {"set": reading.id, "data": cohort.name, "label_names": list(cohort.label_names), "seed": seed,
           "cases": {case.id: told[case.id] for case in cases}}
    return reading, key, example


def _answered(explainer: CounterfactualGAN, bench: Bench, train: ECGDataset, n_each: int,
              seed: int) -> tuple[list[Any], NDArray[np.float32]]:
    """Questions that explainer and neighbours answer, labels in turn, and all ECGs of the explainer, by `Index`.

    Each has `row` (of the bench's data), `label`, `wanted` and `near` (the neighbour's row in the training folds).
    """
    asked = questions(bench, _ASKED * n_each, seed=seed)
    search = NearestUnlikeNeighbour(explainer.classifier, label_names=bench.data.label_names, background=train.signals)
    edited, near = ask(explainer, bench, asked, name="the explainer"), ask(search, bench, asked, name="neighbours")
    asked["near"] = _unturned(near.signals, search.background)
    for column, data, rows in (("patient", bench.data, asked["row"]), ("other", train, asked["near"])):
        asked[column] = data.records["patient_id"].to_numpy()[rows]
    good = asked[(edited.outcome == "valid") & (near.outcome == "valid")]
    good = good.sample(frac=1, random_state=seed).drop_duplicates("patient").drop_duplicates("other")
    turn = good.groupby(["label", "wanted"]).cumcount()
    return [*good.loc[turn.sort_values(kind="stable").index].itertuples()], edited.signals


def _unturned(signals: NDArray[np.float32], background: NDArray[np.float32]) -> NDArray[np.intp]:
    """Places `(n,)` in a background of ECGs that were turned in time, which keeps every sample; -1 for others."""
    places = {np.sort(x[1]).tobytes(): k for k, x in enumerate(background)}
    return np.array([places.get(np.sort(x[1]).tobytes(), -1) for x in signals], dtype=np.intp)


def page_html(reading: ReadingSet, credit: str = "") -> str:
    """The page: one file that asks for nothing outside and knows no answer; `credit` says whose ECGs these are."""
    known = {name: WORDS.get(name, name) for name in (*reading.label_names, NONE)}
    cases = [{"id": case.id, "who": case.who, "label": case.label, "there": case.wanted > 0.5,
              "ecgs": [still_panels(signal, reading.fs) for signal in case.signals]} for case in reading.cases]
    pairs = sum(bool(case.label) for case in reading.cases)
    return render("reading.html", cases=cases, singles=len(cases) - pairs, pairs=pairs, set=reading.id, credit=credit,
                  data=reading.data, fs=f"{reading.fs:g}", words=known,
                  diagnoses={name: said if name in (said, NONE) else f"{name}: {said}" for name, said in known.items()},
                  verdicts=VERDICTS, sure=SURE, fits=FITS, page_css=asset("report.css"), ecg_css=asset("slider.css"),
                  css=asset("reading.css"), js=asset("reading.js"))


def save(folder: Path, reading: ReadingSet, key: Mapping[str, Any], machine: Mapping[str, Any], cohort: ECGDataset,
         credit: str = "") -> None:
    """Write the page, the key, the machine's answers, and the summary that the book marks its pages with."""
    (folder / PAGE).write_text(page_html(reading, credit), encoding="utf-8")
    (folder / KEY).write_text(json.dumps(key, indent=1), encoding="utf-8")
    (folder / "answers-machine.json").write_text(json.dumps(machine, indent=1), encoding="utf-8")
    write_summary(folder, cohort)


def margin_limits(data: ECGDataset) -> dict[str, float]:
    """How far a rule's margin lies apart in the two halves of the same ECG, by rule: 95 of 100 pairs are no further.

    In steps (`ecgkit.physiology.rules.STEPS`); nan where the rule could never be judged in both halves.
    """
    def steps(signals: NDArray[np.float32]) -> pd.DataFrame:
        verdicts = judge(measure(signals, data.fs).table, data.records["age"], data.records["sex"])
        return verdicts.assign(steps=verdicts["margin"] / verdicts["unit"].map(STEPS))

    first, second = (steps(data.signals[..., k * data.sig_len // 2:][..., :data.sig_len // 2]) for k in (0, 1))
    apart = (first["steps"] - second["steps"]).abs().groupby(first["rule"]).quantile(0.95)
    return {str(rule): float(limit) for rule, limit in apart.items()}


def machine_answers(reading: ReadingSet, limits: Mapping[str, float]) -> dict[str, Any]:
    """What measurements and rules answer, in the form of a reader's file: a stand-in that sees the cases and no key.

    It cannot tell what is edited. It ticks each label one of whose defining rules is met, else NORM, or none where no
    rule can be judged. A change fits where the margin of the deciding rule moved as asked, by more than the rule's
    `limits` (`margin_limits`), partly where it moved less far, and not otherwise; where that could not be measured it
    has no answer.
    """
    singles, given = [case for case in reading.cases if not case.label], dict[str, dict[str, Any]]()
    x, normal = np.concatenate([case.signals for case in singles]), NORMAL if NORMAL in reading.label_names else NONE
    ages, sexes = (np.array([getattr(case, what) for case in singles]) for what in ("age", "sex"))
    met, rules = verdict_matrix(judge(measure(x, reading.fs).table, ages, sexes))
    for k, case in enumerate(singles):
        found = [label for label in reading.label_names if label in DEFINITIONS
                 and (met[k, np.isin(rules, DEFINITIONS[label].rules)] == 1).any()]
        ticked = found or [normal if np.isfinite(met[k]).any() else NONE]
        given[case.id] = {"verdict": "cannot tell", "labels": ticked}
    for case in [case for case in reading.cases if case.label]:
        before, after = (measure(signal[None], reading.fs) for signal in case.signals)
        oracle = rule_oracle(before, after, case.label, case.age, case.sex, up=case.wanted > 0.5)
        moved, limit = float(oracle.movement[0]), limits.get(str(oracle.rule[0]), np.nan)
        if np.isfinite(moved):
            given[case.id] = {"fits": "fits" if moved > limit else "partly" if moved > 0 else "does not fit"}
    return {"set": reading.id, "reader": MACHINE, "role": "", "kind": "machine", "answers": given}


class Answers(NamedTuple):
    """One reader's answers by case, as they were checked against the key, and whether the reader is a program."""

    reader: str
    machine: bool
    given: dict[str, dict[str, Any]]


def read_study(folder: str | Path) -> tuple[dict[str, Any], list[Answers]]:
    """The key of a folder, and the readers whose saved files (`answers*.json`) lie beside it.

    An EcgkitError names a file that is damaged, answers another set, an unknown case or what is not asked, and a reader
    with two files.
    """
    path = Path(folder) / KEY
    key = _json(path, "make the set anew with 13_reading")
    cases = key.get("cases")
    if not isinstance(cases, dict) or not cases or not {"set", "data", "label_names"} <= set(key) \
            or not all(isinstance(case, dict) and set(case) >= _TOLD for case in cases.values()):
        raise EcgkitError(f"{path}: is no key of a reading study; make the set anew with 13_reading")
    readers = [_answers(saved, key) for saved in sorted(Path(folder).glob(_SAVED))]
    if not readers:
        raise EcgkitError(f"{folder}: no answers; put the readers' files ({_SAVED}) beside {KEY}")
    for a, b in combinations(readers, 2):
        if a.reader == b.reader:
            raise EcgkitError(f"{folder}: two files are of the reader {a.reader!r}; keep one")
    return key, readers


def _json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EcgkitError(f"{path}: cannot be read ({' '.join(str(error).split())}); {remedy}") from None
    if not isinstance(told, dict):
        raise EcgkitError(f"{path}: holds no mapping; {remedy}")
    return told


def _answers(path: Path, key: Mapping[str, Any]) -> Answers:
    """One reader's file, checked."""
    remedy = "save the answers anew from the page"
    told = _json(path, remedy)
    if told.get("set") != key["set"]:
        raise EcgkitError(f"{path}: answers the set {told.get('set')!r}, the key is of {key['set']!r}; put it beside "
                          "the key that was made with its page")
    given = told.get("answers")
    if not isinstance(given, dict) or not all(isinstance(answer, dict) for answer in given.values()):
        raise EcgkitError(f"{path}: has no answers by case; {remedy}")
    allowed = {"verdict": (*VERDICTS,), "sure": (*SURE,), "fits": (*FITS,), "labels": (*key["label_names"], NONE)}
    for case, answer in given.items():
        if case not in key["cases"]:
            raise EcgkitError(f"{path}: answers a case {case!r} that the key does not have; {remedy}")
        for field, value in answer.items():
            values = value if field == "labels" else [value]
            if not isinstance(values, list) or not all(one in allowed.get(field, ()) for one in values):
                raise EcgkitError(f"{path}: case {case} has {field} {value!r}; {remedy}")
    return Answers(str(told.get("reader") or path.stem)[:40], told.get("kind") == "machine", given)


def score_table(key: Mapping[str, Any], readers: Sequence[Answers], *, n_boot: int = 1000) -> pd.DataFrame:
    """Every measure of every reader, and how far readers agree, with 95 % intervals over cases, which are patients.

    By `measure` and `reader`: `estimate`, `low` and `high` (nan where no answer determines them), and `n` cases.
    """
    cases = pd.DataFrame.from_dict(key["cases"], orient="index")
    rows = [row for each in readers for row in _scores(cases, each, n_boot)]
    return pd.DataFrame(rows + _agreement(cases, readers, key["label_names"], n_boot)).set_index(["measure", "reader"])


def _row(measure: str, reader: str, found: Bootstrap, n: int, column: int = 0) -> dict[str, Any]:
    low, high = found.interval()
    return {"measure": measure, "reader": reader, "estimate": found.estimate[column], "low": low[column],
            "high": high[column], "n": n}


def _given(cases: pd.DataFrame, of: Answers) -> pd.DataFrame:
    """A reader's answers, a row for each case: nan where there is none."""
    return pd.DataFrame([of.given.get(case, {}) for case in cases.index], index=cases.index,
                        columns=["verdict", "sure", "labels", "fits"])


def _scores(cases: pd.DataFrame, of: Answers, n_boot: int) -> list[dict[str, Any]]:
    """The measures of one reader; what is asked about one label only is asked about the label of the question."""
    given, edited, patients = _given(cases, of), cases["kind"] == "edited", cases["patient_id"].to_numpy()
    told, known, pair = given["verdict"], given["verdict"].notna(), cases["pair"].astype(bool)
    named = pd.Series([(label in has) == (label in read) if isinstance(read, list) else np.nan for label, has, read in
                       zip(cases["label"], cases["labels"], given["labels"], strict=True)], index=cases.index)
    worth: dict[str, pd.Series[Any]] = {
        "edited called edited (sensitivity)": (told == "edited").where(known & edited),
        "real not called edited (specificity)": (told != "edited").where(known & ~edited),
        "edited held for real": (told == "real").where(known & edited),
        "real held for real": (told == "real").where(known & ~edited)}
    for kind, words in (("real", "real: label read as given"), ("neighbour", "real, neighbours: label read as given"),
                        ("edited", "edited: label read as asked")):
        worth[words] = named.where(~pair & (cases["kind"] == kind))
    for kind, words in (("edited", "edited"), ("neighbour", "another patient's")):
        shown = pair & given["fits"].notna() & (cases["kind"] == kind)
        worth[f"change fits, {words}"] = (given["fits"] == "fits").where(shown)
        worth[f"change fits at least partly, {words}"] = given["fits"].isin(["fits", "partly"]).where(shown)
    values = pd.DataFrame(worth).astype(float)
    found, counts = means(values.to_numpy(), patients, n_boot=n_boot), values.notna().sum()
    rows = [_row(name, of.reader, found, int(counts.iloc[k]), k) for k, name in enumerate(worth)]
    real = Bootstrap(found.estimate[2:3], found.samples[:, 2:3]) - Bootstrap(found.estimate[3:4], found.samples[:, 3:4])
    rows.insert(4, _row("held for real: edited minus real", of.reader, real, int(counts.iloc[2:4].sum())))
    if known.any():
        side = told.map({"edited": 1.0, "real": -1.0, "cannot tell": 0.0}) * given["sure"].fillna(1).astype(float)
        area = bootstrap(auroc, edited[known].to_numpy()[:, None], side[known].to_numpy()[:, None], patients[known],
                         n_boot=n_boot)
        rows.insert(0, _row("AUROC of edited, from sureness", of.reader, area, int(known.sum())))
    return rows


def _agreement(cases: pd.DataFrame, readers: Sequence[Answers], label_names: Sequence[str],
               n_boot: int) -> list[dict[str, Any]]:
    """Cohen's kappa, the mean over pairs of readers (Light 1971), of each question; none where there is one reader."""
    tables, rows = [_given(cases, each) for each in readers], list[dict[str, Any]]()
    views = {"real or edited": [t["verdict"].to_numpy(object)[:, None] for t in tables],
             "diagnoses": [np.array([[str(label in read) if isinstance(read, list) else np.nan for label in label_names]
                                     for read in t["labels"]], dtype=object) for t in tables],
             "fits": [t["fits"].to_numpy(object)[:, None] for t in tables]}
    blocks = [*resample_patients(cases["patient_id"].to_numpy(), n_boot=n_boot)] if len(readers) > 1 else []
    for name, told in views.items() if blocks else ():
        pairs = [(a, b, ~(pd.isna(a) | pd.isna(b)).any(axis=1)) for a, b in combinations(told, 2)]
        drawn = [[_kappa(pairs, counts)] for counts in np.hstack([np.ones((len(cases), 1)), *blocks]).T]
        found = Bootstrap(np.array(drawn[0]), np.array(drawn[1:]))
        n = int(np.any([known for *_, known in pairs], axis=0).sum())
        rows.append(_row(f"agreement (kappa): {name}", "all readers", found, n))
    return rows


def _kappa(pairs: Sequence[tuple[Any, Any, Any]], counts: NDArray[np.float64]) -> float:
    """Mean kappa of pairs of answers `(n, k)`, known to both or not, where cases count as `counts` says; or nan."""
    with warnings.catch_warnings(action="ignore"):
        found = [cohen_kappa_score(*(told[both].ravel().astype(str) for told in (a, b)),
                                   sample_weight=np.repeat(counts[both], a.shape[1]))
                 for a, b, both in pairs if counts[both].sum()]
    return float(macro(np.array(found)))


def printed_scores(table: pd.DataFrame) -> pd.DataFrame:
    """Round a `score_table` for print: a row for each measure, a column for each reader, and the cases."""
    text = with_ends(table, unknown="–") + table["n"].map(" [{}]".format)
    return pd.DataFrame({reader: text.xs(reader, level="reader") for reader in text.index.unique("reader")},
                        index=text.index.unique("measure")).fillna("–")


def words(key: Mapping[str, Any], readers: Sequence[Answers], table: pd.DataFrame) -> dict[str, str]:
    """What the prose of the page says."""
    people, pairs = sum(not each.machine for each in readers), sum(bool(case["pair"]) for case in key["cases"].values())
    fits = with_ends(table, unknown="not determined").xs("change fits, edited").get(MACHINE, "not asked")
    return {"n": str(len(key["cases"])), "singles": str(len(key["cases"]) - pairs), "pairs": str(pairs),
            "data": str(key["data"]), "fits": str(fits),
            "people": f"{people} people have read it" if people > 1 else "one person has read it" if people else
                      "no person, and so no cardiologist, has read it yet"}
