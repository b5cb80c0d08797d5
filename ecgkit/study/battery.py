"""Page 10, the battery: every metric of every explainer with its interval, and which metrics flatter an attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.describe import write_summary
from ecgkit.evaluation import means, with_ends
from ecgkit.explain.attribution.methods import MODEL_FREE, attribute, normal_background, reference_maps
from ecgkit.explain.attribution.players import player_cells, segments
from ecgkit.explain.baselines import PGD
from ecgkit.explain.battery import localisation
from ecgkit.explain.battery.examine import Answers, Bench, ask, make_bench, questions
from ecgkit.explain.battery.judges import Follows, follows, outcomes, rule_oracle
from ecgkit.explain.battery.perturbation import ExchangeCurve, consistency, quac
from ecgkit.explain.battery.realism import embedding_distances, nearest_alike, told_apart
from ecgkit.explain.counterfactual.gan import CounterfactualGAN
from ecgkit.explain.results import AWAY, THERE, Counterfactuals, Explainer, classify
from ecgkit.models import model_card
from ecgkit.physiology import delineate, measure
from ecgkit.study.attribution import LOCALISED
from ecgkit.study.counterfactuals import Run, chosen, hum, hum_size, runs_in, told_labels, train_judges
from ecgkit.training import SupervisedSettings

#: The adversarial control among the explainers: small, plausible to no one, and it reaches every target.
ADVERSARIAL = "PGD"
STATISTICS = ("estimate", "low", "high", "n")


class Metric(NamedTuple):
    """A row of the table: a column of the battery's `examine`, as it is printed, and whether more is better."""

    column: str
    title: str
    higher: bool = True
    digits: int = 2


METRICS = (
    Metric("reached", "target reached"), Metric("valid", "valid: reached, plausible"),
    Metric("abstained", "abstained", False),
    Metric("transfer", "followed by unseen networks"),
    Metric("rule away", "disease away: defining rule no longer met"),
    Metric("rule there", "disease there: defining rule met"), Metric("unrelated", "unrelated measurements kept"),
    Metric("labels kept", "other labels: mean change", False, 3),
    Metric("survives low-pass 15 Hz", "survives low-pass 15 Hz"),
    Metric("survives low-pass 25 Hz", "survives low-pass 25 Hz"),
    Metric("survives low-pass 40 Hz", "survives low-pass 40 Hz"),
    Metric("survives noise 20 dB", "survives noise, 20 dB"),
    Metric("above 25 Hz", "edit's energy above 25 Hz", False, 3),
    Metric("above 40 Hz", "edit's energy above 40 Hz", False, 3),
    Metric("changed", "signal changed by over 20 µV", False), Metric("size", "mean size of the edit, µV", False, 0),
    Metric("identity", "same patient: cosine of embeddings"),
    Metric("Einthoven", "largest breach of Einthoven's law, µV", False, 0),
    Metric("IoU", "IoU with the true mask"), Metric("distance", "distance to the true counterfactual", False),
    Metric("correlation", "correlation with the true difference"), Metric("ms", "ms per ECG", False, 0),
)


def begun(folder: str | Path, data: ECGDataset, judges: Sequence[str], *, n_each: int, settings: SupervisedSettings,
          **training: Any) -> tuple[dict[str, Run], Bench, pd.DataFrame]:
    """The runs of 09_counterfactuals, the bench of its trained network with judges that are trained, the questions."""
    runs = runs_in(folder, data)
    jury = train_judges(data, judges, settings=settings, **training)
    bench = make_bench(data, runs["trained"].classifier(), jury)
    return runs, bench, questions(bench, n_each)


def with_interval(values: Any, patients: Any, *, n_boot: int = 1000) -> dict[str, float]:
    """Mean of what is finite, with its 95 % interval over patients: `STATISTICS`, the last how many there are."""
    value = np.asarray(values, dtype=np.float64)
    known = np.isfinite(value)
    if not known.any():
        return dict(zip(STATISTICS, (np.nan, np.nan, np.nan, 0), strict=True))
    low, high = np.nanquantile(means(value[:, None], patients, n_boot=n_boot).samples, [0.025, 0.975])
    return {"estimate": float(value[known].mean()), "low": float(low), "high": float(high), "n": int(known.sum())}


def battery_table(examined: Mapping[str, pd.DataFrame], *, n_boot: int = 1000) -> pd.DataFrame:
    """`STATISTICS` by `metric` (its title) and `explainer`, of the metrics that `examine` gave for any."""
    rows = [{"metric": metric.title, "explainer": name,
             **with_interval(table[metric.column], table["patient_id"], n_boot=n_boot)}
            for metric in METRICS if any(metric.column in table for table in examined.values())
            for name, table in examined.items() if metric.column in table]
    table = pd.DataFrame(rows).set_index(["metric", "explainer"])
    return table[table.groupby("metric", sort=False)["n"].transform("sum") > 0]


def printed_battery(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each metric, a column for each explainer, and which is best; what the attack wins is marked."""
    lines: dict[str, dict[str, str]] = {}
    for metric in METRICS:
        part = table[table.index.get_level_values("metric") == metric.title].droplevel("metric")
        if part.empty:
            continue
        line = {str(name): text for name, text in with_ends(part, digits=metric.digits, unknown="–").items()}
        best = best_of(part["estimate"], metric)
        note = "flatters the attack" if ADVERSARIAL in best else ""
        lines[f"{metric.title} {'↑' if metric.higher else '↓'}"] = line | {"best": in_words(best), "note": note}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("metric")


def best_of(estimates: pd.Series[float], metric: Metric) -> list[str]:
    """Names of the explainers that a metric ranks first."""
    value = estimates.dropna() if metric.higher else -estimates.dropna()
    return [str(name) for name in value.index[value >= value.max() - 1e-9]]


def in_words(best: list[str]) -> str:
    """Who is best, for print."""
    return "several" if len(best) > 2 else ", ".join(best)


def printed_estimates(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """`STATISTICS` for print: the estimate with its interval in a column `name`, all other columns, and `n`."""
    rest = table.drop(columns=list(STATISTICS)).round(2)
    return with_ends(table, unknown="–").to_frame(name).join(rest).assign(n=table["n"].astype(int))


#: Wishes between healthy and disease.
GRADES = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
#: As many ECGs as a fresh discriminator looks at, of each kind.
LOOKED_AT = 300


def graded(explainer: Explainer, bench: Bench, asked: pd.DataFrame, *, n_each: int = 12) -> Follows:
    """How answers follow every grade of a label, whatever the explainer thinks of them, in `n_each` ECGs a question."""
    found = {}
    some = asked.groupby(["label", "wanted"], sort=False).head(n_each)
    for label, part in some.groupby("label", sort=False):
        x, name = bench.data.batch(part["row"].to_numpy()), str(label)
        found[name] = np.column_stack([explainer(x, {name: grade}).probabilities[:, bench.place(name)]
                                       for grade in GRADES])
    obtained = np.concatenate([found[name] for name in sorted(found)])
    return follows(np.broadcast_to(GRADES, obtained.shape), obtained)


def pool_of(cohort: ECGDataset, bench: Bench, asked: pd.DataFrame) -> tuple[ECGDataset, NDArray[np.float64]]:
    """ECGs of all patients whom no question is about, and the explained network's logits of them."""
    mine = bench.data.records["patient_id"].iloc[asked["row"]]
    pool = cohort.subset(np.flatnonzero(~cohort.records["patient_id"].isin(mine)))
    return pool, classify(bench.classifier, pool.signals)


def realism(answers: Answers, bench: Bench, asked: pd.DataFrame, real: ECGDataset,
            pool: tuple[ECGDataset, NDArray[np.float64]] | None = None, *, n_boot: int = 1000) -> dict[str, float]:
    """Compare valid answers of both directions with real ECGs of other patients.

    AUROC of fresh discriminators (0.5: none can tell) beside some of `real`, `auc`, where it also tells which ECGs were
    chosen; with a `pool_of`, beside those of which the network says the same (`nearest_alike`), `alike`, and of these
    beside the next, `control`; each with `_low` and `_high`. `frechet` and `neighbours`, the distances in the embedding
    over those of two halves of the real ECGs (1: as real ones); `n`, answers.
    """
    rng = np.random.default_rng(0)
    valid = rng.permutation(np.flatnonzero(answers.outcome == "valid"))[:LOOKED_AT]
    if len(valid) < 12:
        return {"auc": np.nan, "auc_low": np.nan, "auc_high": np.nan, "n": len(valid)}
    beside = real.subset(np.sort(rng.permutation(len(real))[:LOOKED_AT]))
    fakes, fs = answers.signals[valid], bench.data.fs
    theirs = beside.records["patient_id"].to_numpy()
    mine = bench.data.records["patient_id"].to_numpy()[asked["row"].to_numpy()[valid]]
    far = embedding_distances(bench.embedder.embed(beside.signals), bench.embedder.embed(fakes), theirs, seed=0)
    ratio = (far.loc["made"] / far.loc["real"]).astype(float).to_dict()
    found = told_apart("auc", beside.signals, fakes, theirs, mine, fs=fs, n_boot=n_boot) | {
        "frechet": ratio["frechet"], "neighbours": ratio["neighbours"], "n": len(valid)}
    if pool is None:
        return found
    some = slice(min(len(valid), pool[0].n_patients // 2))
    odds = np.clip(answers.probabilities[valid[some]], 1e-4, 1 - 1e-4)
    rows = nearest_alike(np.log(odds / (1 - odds)), pool[1].clip(-9.21, 9.21), pool[0].records["patient_id"])
    (first, second), (whose, next_) = map(pool[0].batch, rows), pool[0].records["patient_id"].to_numpy()[rows]
    return {**found, **told_apart("alike", first, fakes[some], whose, mine[some], fs=fs, n_boot=n_boot),
            **told_apart("control", first, second, whose, next_, fs=fs, n_boot=n_boot)}


def printed_sets(sets: pd.DataFrame) -> pd.DataFrame:
    """For print: each explainer's `realism` in a row, and `spearman` of `graded` where every grade was asked for."""
    numbers = sets.reindex(columns=["frechet", "neighbours", "spearman"]).astype(float)
    numbers = numbers.map("{:.2f}".format).replace("nan", "–")
    columns = {"fresh discriminator, AUROC": "auc", "beside ECGs alike": "alike", "these beside the next": "control"}
    words = {title: with_ends(sets, name, unknown="–") for title, name in columns.items() if name in sets}
    return pd.DataFrame(words | {
        "Fréchet distance": numbers["frechet"], "distance to neighbours": numbers["neighbours"],
        "follows the wish": numbers["spearman"], "answers": sets["n"].astype(int)}).rename_axis("explainer")


def effects(explainer: Explainer, bench: Bench, held_out: ECGDataset | None = None, *,
            n_boot: int = 1000) -> pd.DataFrame:
    """How far an explainer moves the measurements that define a disease, when it is asked to take the disease away.

    All ECGs that meet a defining rule are asked about, whatever the classifier says of them; where no valid answer
    comes, nothing moves. By label: `STATISTICS` of the movement of the deciding rule's margin towards healthy, in steps
    (`ecgkit.physiology.rules.STEPS`: 0.1 mV, 20 ms, ...), the share `answered`, and what `told_labels` says of the
    network on ECGs that are held out, where they are given. An explainer of a network that knows nothing must have no
    effect.
    """
    rows, all_rows = {}, np.arange(len(bench.data))
    age, sex = bench.who(all_rows, "age"), bench.who(all_rows, "sex")
    for label in bench.labels:
        met = np.flatnonzero(rule_oracle(bench.measured, bench.measured, label, age, sex).crossed == 0)
        if not len(met):
            continue
        found = explainer(bench.data.batch(met), {label: AWAY})
        after = measure(found.signals, bench.data.fs)
        moved = rule_oracle(bench.measured_of(met), after, label, age[met], sex[met]).movement
        patients = bench.data.records["patient_id"].to_numpy()[met]
        rows[label] = with_interval(np.where(found.valid, moved, 0.0), patients, n_boot=n_boot)
        rows[label]["answered"] = float(found.valid.mean())
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("label")
    return table if held_out is None else table.join(told_labels(bench.classifier, held_out, n_boot=n_boot))


def attack_like(answers: Answers, bench: Bench, asked: pd.DataFrame, classifier: torch.nn.Module) -> Answers:
    """Attack every ECG with an edit of the same norm as another explainer's answer to the same question."""
    before = bench.data.batch(asked["row"].to_numpy())
    norms = np.sqrt(np.square((answers.signals - before).astype(np.float64)).sum(axis=(1, 2)))
    attack = PGD(classifier, label_names=bench.data.label_names)
    place = {(label, wanted): iter(norms[(asked["label"] == label) & (asked["wanted"] == wanted)])
             for label, wanted in asked[["label", "wanted"]].drop_duplicates().itertuples(index=False)}

    def equal(x: NDArray[np.float32], target: Mapping[str, float]) -> Counterfactuals:
        (label, wanted), = target.items()
        return attack(x, target, norms=[next(place[label, wanted]) for _ in x])
    return ask(equal, bench, asked, name="PGD")


def agreement(first: Answers, second: Answers, bench: Bench, asked: pd.DataFrame, *,
              n_boot: int = 1000) -> pd.DataFrame:
    """How alike two explainers' valid edits of the same ECGs are: correlations with intervals over patients."""
    both = (first.outcome == "valid") & (second.outcome == "valid")
    if not both.any():
        return pd.DataFrame(columns=list(STATISTICS))
    before = bench.data.batch(asked["row"].to_numpy()[both])
    cells = player_cells(segments(delineate(before, bench.data.fs), bench.data.sig_len))
    alike = consistency(first.signals[both] - before, second.signals[both] - before, cells, bench.data.fs)
    patients = bench.data.records["patient_id"].to_numpy()[asked["row"].to_numpy()[both]]
    return pd.DataFrame({", ".join(column): with_interval(alike[column], patients, n_boot=n_boot)
                         for column in alike.columns}).T


def shortcut_table(explainer: CounterfactualGAN, data: ECGDataset, label: str, *, n_boot: int = 1000) -> pd.DataFrame:
    """Does the explainer of a network that learnt an artefact reveal it.

    ECGs without the label are asked about without it after they got the artefact, and with it as they are: `n` ECGs on
    which the network falls for the artefact (or not), the share `answered`, and the artefact's amplitude in µV `before`
    and `after` the edit, the latter with an interval over patients.
    """
    k = list(data.label_names).index(label)
    clean = data.subset(np.flatnonzero(data.labels[:, k] == 0))
    x, rows = np.array(clean.signals), {}
    for name, signals, wanted in (("artefact away", x + hum(len(x), data.sig_len, data.fs, seed=1), AWAY),
                                  ("artefact there", x, THERE)):
        side = (classify(explainer.classifier, signals)[:, k] > 0) == (wanted == AWAY)
        if not side.any():
            continue
        found = explainer(signals[side], {label: wanted})
        after = with_interval(1000 * hum_size(found.signals, data.fs), clean.records["patient_id"].to_numpy()[side],
                              n_boot=n_boot)
        rows[name] = {"n": int(side.sum()), "answered": float((outcomes(found) == "valid").mean()),
                      "before": float(1000 * hum_size(signals[side], data.fs).mean()), "after": after["estimate"],
                      "low": after["low"], "high": after["high"]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("question")


def printed_shortcut(table: pd.DataFrame) -> pd.DataFrame:
    """`shortcut_table` for print."""
    return pd.DataFrame({"ECGs": table["n"], "answered": table["answered"].astype(float).round(2),
                         "before, µV": table["before"].astype(float).round(),
                         "after, µV": with_ends(table, "after", digits=0)})


#: Name of the counterfactual's own edit among the maps.
EDIT = "counterfactual"


class Mapped(NamedTuple):
    """ECGs of a bench from which one label was taken away, and every map of why they have it.

    `maps` are the edit, attributions and maps that ask no model; they, the ECGs and the counterfactuals in mV are
    `(n, 12, sig_len)`.
    """

    label: str
    rows: NDArray[np.intp]
    x: NDArray[np.float32]
    after: NDArray[np.float32]
    maps: dict[str, NDArray[np.floating]]


def map_answers(bench: Bench, asked: pd.DataFrame, answers: Answers, train: ECGDataset, methods: Sequence[str], *,
                n_each: int = 8) -> list[Mapped]:
    """Map the ECGs of valid answers, of each label at most `n_each`, by several methods of attribution."""
    background, fs = normal_background(train), bench.data.fs
    found = []
    for label in bench.labels:
        if not ((asked["label"] == label) & (asked["wanted"] == AWAY)).any():
            continue
        places = chosen(answers, asked, label, AWAY)[:n_each]
        rows = asked["row"].to_numpy()[places]
        x, after = bench.data.batch(rows), answers.signals[places]
        waves = delineate(x, fs)
        maps: dict[str, NDArray[np.floating]] = {EDIT: after - x}
        maps |= {method: attribute(bench.classifier, x, bench.place(label), method=method, background=background,
                                   waves=waves, fs=fs) for method in methods}
        found.append(Mapped(label, rows, x, after, maps | reference_maps(x, waves)))
    return found


def quac_curves(bench: Bench, mapped: Sequence[Mapped]) -> dict[str, ExchangeCurve]:
    """QuAC curves of all maps: the same counterfactuals' values go in, what each map holds for important first."""
    parts: dict[str, list[ExchangeCurve]] = {}
    for one in mapped:
        for name, each in one.maps.items():
            parts.setdefault(name, []).append(
                quac(bench.classifier, one.x, one.after, each, bench.place(one.label), bench.data.fs))
    return {name: ExchangeCurve(np.concatenate([c.share for c in curves]), np.concatenate([c.logits for c in curves]))
            for name, curves in parts.items()}


def localised(bench: Bench, mapped: Sequence[Mapped], *, n_boot: int = 1000) -> pd.DataFrame:
    """Whether maps lie where the truth is, told its size: `STATISTICS` by `map`, `metric`; empty without."""
    if not bench.truth:
        return pd.DataFrame(columns=list(STATISTICS))
    masks = [localisation.true_mask(bench.truth.mask(one.rows, one.label)) for one in mapped]
    patients = bench.data.records["patient_id"].to_numpy()[np.concatenate([one.rows for one in mapped])]
    rows = {}
    for name in mapped[0].maps:
        for metric, score in LOCALISED.items():
            values = [score(one.maps[name], mask) for one, mask in zip(mapped, masks, strict=True)]
            rows[name, metric] = with_interval(np.concatenate(values), patients, n_boot=n_boot)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["map", "metric"])


def printed_localised(table: pd.DataFrame) -> pd.DataFrame:
    """`localised` for print: a row for each map, a column for each metric."""
    words = with_ends(table, unknown="–")
    return pd.DataFrame({metric: words.xs(metric, level="metric") for metric in LOCALISED})


def covers_nothing(effects: pd.DataFrame) -> pd.Series[bool]:
    """Whether the interval of each effect on a control network covers 0."""
    controls = effects[effects.index.isin(["shuffled", "random"], level="network")]
    return (controls["low"] <= 0) & (controls["high"] >= 0)


def words(data: ECGDataset, table: pd.DataFrame, sets: pd.DataFrame, effects: pd.DataFrame, planted: pd.DataFrame,
          quac_scores: pd.Series[float]) -> dict[str, str]:
    """What the prose of the page says, from its tables; but for `n`, how many questions there were."""
    def share(value: float) -> str:
        return "–" if np.isnan(value) else f"{100 * value:.0f} %"

    def reached(metric: str, name: str = "GAN") -> str:
        return share(float(table["estimate"].to_dict().get((metric, name), np.nan)))

    nothing = covers_nothing(effects).groupby(level="network", sort=False)
    artefact = "not in this run"
    if "artefact away" in planted.index:
        away = planted.loc["artefact away"].to_dict()
        artefact = (f"{away['before']:.0f} µV of hum in {away['n']:.0f} ECGs that the network fell for, "
                    f"{away['after']:.0f} µV in the answers, {share(away['answered'])} of them valid")
    asking = sorted(set(quac_scores.index) - {EDIT, *MODEL_FREE})
    best = [EDIT, *(str(quac_scores[group].idxmax()) for group in (asking, list(MODEL_FREE)) if group)]
    return {"planted": artefact, "data": data.name, "valid": reached("valid: reached, plausible"),
            "transfer": reached("followed by unseen networks"),
            "attack": reached("followed by unseen networks", ADVERSARIAL),
            "rule": reached("disease away: defining rule no longer met"),
            "unrelated": reached("unrelated measurements kept"),
            "quac": "How soon the network turns, what matters most being replaced first (1 is at once): " + ", ".join(
                f"{quac_scores[name]:.2f} by the order of {name}" for name in best),
            "threads": str(torch.get_num_threads()),
            **{word: f"{sets[word]['GAN']:.2f}" if word in sets else "–" for word in ("auc", "alike", "control")},
            "controls": "; ".join(f"{part.sum()} of {part.size} effects on the {kind} network cover 0"
                                  for kind, part in nothing) or "not in this run"}


def save(folder: Path, data: ECGDataset, run: Run, explainer: CounterfactualGAN, asked: pd.DataFrame,
         examined: pd.DataFrame, shown: pd.DataFrame) -> None:
    """Write the summary, and a run's explainer with what the battery found of it: this is the file to pass on."""
    write_summary(folder, data, valid=float(examined["valid"].mean()))
    card = model_card(run.folder / "explainer.safetensors")
    explainer.save(folder / "explainer.safetensors", card | {
        "battery": shown.head(8)[["GAN", "PGD"]].rename(columns={"PGD": "an attack of the same norm"}).to_dict(),
        "battery_data": f"{len(asked)} questions about {data.name}"})
