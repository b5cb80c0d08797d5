"""The command line: thin verbs over the library."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ecgkit import __version__
from ecgkit.batch.commands import app as book_app
from ecgkit.errors import EcgkitError, RecordError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Made = TypeVar("Made")
DISCLAIMER = "Research software, not a medical device: do not use it for decisions about patients."

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
                  help="ecgkit: machine learning on 12-lead ECGs that needs fewer labels and shows its reasons.\n\n"
                       + DISCLAIMER)
data_app = typer.Typer(no_args_is_help=True, help="Fetch and look at sets of ECGs.")
app.add_typer(data_app, name="data")
app.add_typer(book_app, name="book")

Cache = Annotated[Path | None, typer.Option(help="Folder of the store (default: ECGKIT_CACHE, or your user cache).")]
Table = Annotated[Path | None, typer.Option(help="CSV with one row per recording and its labels (source folder).")]
Task = Annotated[str | None, typer.Option(help="Set of labels, where the source has several.")]
Rate = Annotated[float | None, typer.Option(help="Sampling rate in Hz.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the data (none for synthetic).")]
Weights = Annotated[Path, typer.Option("--output", "-o", help="File to write: NAME.safetensors.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output where it exists.")]
Records = Annotated[list[Path], typer.Argument(help="WFDB records (with or without .hea), folders, or RECORDS files.")]


def main() -> None:
    """Run the command line; a user's mistake ends in one line on standard error and exit code 2."""
    try:
        app()
    except EcgkitError as error:
        print(f"ecgkit: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nobody is left to tell.
        sys.stderr.close()
        raise SystemExit(0) from None


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@data_app.command()
def download(source: Annotated[str, typer.Argument(help="Which data: ptbxl.")],
             destination: Annotated[Path, typer.Argument(help="Folder to fill.")],
             skip: Annotated[list[str] | None, typer.Option(help="Leave out files whose path begins so: records500/ "
                                                                 "saves most of PTB-XL's size. May be repeated.")]
             = None,
             url: Annotated[str | None, typer.Option(help="Fetch from here instead of the publisher.")] = None,
             jobs: Annotated[int, typer.Option(min=1, help="Files fetched at a time.")] = 8) -> None:
    """Fetch a public set of ECGs; call it again to resume.

    Every file is checked against the publisher's SHA-256 sums.
    """
    from ecgkit.datasets.download import download as fetch

    print(fetch(source, destination, base_url=url, skip=skip or (), workers=jobs))


@data_app.command()
def show(source: Annotated[str, typer.Argument(help="synthetic, ptbxl, challenge, ludb, folder or cinc2011.")],
         root: Annotated[Path | None, typer.Argument(help="Folder of the data (none for synthetic).")] = None,
         table: Table = None, task: Task = None, fs: Rate = None, cache: Cache = None) -> None:
    """Read a set of ECGs and say what is in it: ECGs, patients, labels, and what was left out and why."""
    from ecgkit.datasets import load

    data = load(source, **given(root=root, table=table, task=task, fs=fs, cache=cache))
    print(data)
    for name, count in zip(data.label_names, data.labels.sum(axis=0), strict=True):
        print(f"  {name:<12} {count:>7,}")
    for error in data.excluded:
        print(f"left out: {error}", file=sys.stderr)


def given(**options: Any) -> dict[str, Any]:
    """Options that the user gave; each source has defaults of its own for the others."""
    return {name: value for name, value in options.items() if value is not None}


@app.command()
def train(source: Annotated[str, typer.Argument(help="synthetic, ptbxl, challenge, ludb or folder.")],
          output: Weights, root: Root = None, table: Table = None, task: Task = None, fs: Rate = None,
          encoder: Annotated[str, typer.Option(help="xresnet1d18, xresnet1d34, xresnet1d50 or xresnet1d101.")]
          = "xresnet1d18",
          epochs: Annotated[int, typer.Option(min=1, help="Passes over the training data.")] = 30,
          seed: Seed = 0, device: Device = "cpu", cache: Cache = None) -> None:
    """Train a classifier on folds 1 to 8, watch fold 9, and score fold 10 once.

    A run that was killed resumes when called again.
    """
    from ecgkit.datasets import load
    from ecgkit.models import save_classifier
    from ecgkit.training import Schedule, SupervisedSettings, evaluate, model_card, train_classifier

    if output.exists():
        raise EcgkitError(f"{output} exists; remove it or choose another --output")
    data = load(source, **given(root=root, table=table, task=task, fs=fs, cache=cache))
    settings = SupervisedSettings(encoder=encoder, schedule=Schedule(epochs=epochs))
    model, _ = train_classifier(data.train, validation=data.validation, settings=settings, seed=seed, device=device,
                                checkpoints=output.with_suffix(".checkpoints"))
    scores = evaluate(model, data.test, validation=data.validation)
    save_classifier(model, output, model_card(data, settings, seed=seed, scores=scores))
    print(scores.round(3).to_string())


@app.command()
def pretrain(source: Annotated[str, typer.Argument(help="synthetic, ptbxl, challenge, ludb, folder or cinc2011.")],
             output: Weights, root: Root = None, table: Table = None, task: Task = None, fs: Rate = None,
             method: Annotated[str, typer.Option(help="simclr, cmsc, cmlc, cmsmlc, pclr, 3kg, supcon, moco_v3, byol, "
                                                      "barlow, vicreg, cpc, utah, simulator or simulator_contrast.")]
             = "utah",
             encoder: Annotated[str | None, typer.Option(help="Encoder (default: the method's own).")] = None,
             epochs: Annotated[int, typer.Option(min=1, help="Passes over the unlabelled ECGs.")] = 40,
             seed: Seed = 0, device: Device = "cpu", cache: Cache = None) -> None:
    """Pretrain an encoder on folds 1 to 8 (on all ECGs, where there are no folds) without their labels.

    A run that was killed resumes when called again.
    """
    from dataclasses import replace

    from ecgkit.datasets import load
    from ecgkit.models import save_encoder
    from ecgkit.training.pretrain import PretrainSettings
    from ecgkit.training.pretrain import pretrain as learn

    if output.exists():
        raise EcgkitError(f"{output} exists; remove it or choose another --output")
    data = load(source, **given(root=root, table=table, task=task, fs=fs, cache=cache))
    data = data.train if "strat_fold" in data.records else data
    settings = PretrainSettings(encoder=encoder)
    settings = replace(settings, schedule=replace(settings.schedule, epochs=epochs))
    embedder, history = learn(data, method=method, settings=settings, seed=seed, device=device,
                              checkpoints=output.with_suffix(".checkpoints"))
    save_encoder(embedder, output, {"method": method, "data": data.name, "n_ecgs": len(data), "epochs": epochs,
                                    "seed": seed, "fingerprint": data.fingerprint(), "ecgkit": __version__,
                                    "intended_use": "research and teaching; not a medical device"})
    print(history.dropna().tail(1).round(3).to_string(index=False))


@app.command()
def finetune(encoder: Annotated[str, typer.Argument(help="A shipped encoder, or a file of weights.")],
             source: Annotated[str, typer.Argument(help="synthetic, ptbxl, challenge, ludb or folder.")],
             output: Weights, root: Root = None, table: Table = None, task: Task = None,
             fraction: Annotated[float, typer.Option(help="Share of the training patients whose labels are used.")] = 1,
             steps: Annotated[int, typer.Option(min=1, help="Least optimiser steps after the head is fitted.")] = 300,
             seed: Seed = 0, device: Device = "cpu", cache: Cache = None) -> None:
    """Make a classifier of a pretrained encoder with the labels of folds 1 to 8, and score fold 10 once."""
    from ecgkit.datasets import load
    from ecgkit.models import load_encoder, save_classifier
    from ecgkit.training import evaluate
    from ecgkit.training.finetune import FinetuneSettings
    from ecgkit.training.finetune import finetune as fit

    if output.exists():
        raise EcgkitError(f"{output} exists; remove it or choose another --output")
    embedder = load_encoder(encoder)
    data = load(source, **given(root=root, table=table, task=task, fs=embedder.fs, cache=cache))
    few = data.train.label_fraction(fraction, seed)
    model, _ = fit(embedder, few, validation=data.validation, settings=FinetuneSettings(steps=steps), seed=seed,
                   checkpoints=output.with_suffix(".checkpoints"), device=device)
    scores = evaluate(model, data.test, validation=data.validation)
    save_classifier(model, output, {"encoder": encoder, "data": data.name, "n_train": len(few), "seed": seed,
                                    "fingerprint": data.fingerprint(), "ecgkit": __version__,
                                    "test_auroc": scores["auroc"].round(4).to_dict(),
                                    "intended_use": "research and teaching; not a medical device"})
    print(scores.round(3).to_string())


@app.command()
def predict(records: Records,
            model: Annotated[str, typer.Option(help="A shipped classifier, or a file of weights.")]
            = "ptbxl-superclass",
            as_json: Annotated[bool, typer.Option("--json", help="One JSON object per record.")] = False) -> None:
    """Classify recordings of any lead spelling, order, unit and rate."""
    from ecgkit.datasets.reader import find_records
    from ecgkit.models import load_classifier

    classifier = load_classifier(model)
    paths = [path for named in records for path in find_records(named)]
    if not as_json:
        print("  ".join([f"{'record':<32}", *(f"{name:>6}" for name in classifier.label_names)]))
    done = 0
    for path, probabilities in applied(on_signal(classifier.predict, classifier.fs), paths, "classifying"):
        done += 1
        if as_json:
            named = {name: round(float(p), 4) for name, p in zip(classifier.label_names, probabilities, strict=True)}
            print(json.dumps({"record": str(path), "probabilities": named}))
        else:
            print("  ".join([f"{path!s:<32}", *(f"{p:>6.3f}" for p in probabilities)]))
    print(DISCLAIMER, file=sys.stderr)
    if done < len(paths):
        raise EcgkitError(f"{len(paths) - done} of {len(paths)} records could not be classified; the others are above")


@app.command()
def embed(records: Records,
          output: Annotated[Path, typer.Option("--output", "-o", help="File to write: NAME.parquet or NAME.csv.")],
          encoder: Annotated[str | None, typer.Option(help="A shipped encoder, or a file of weights (default: the best "
                                                           "that is shipped).")] = None,
          force: Force = False) -> None:
    """Turn recordings of any lead spelling, order, unit and rate into embeddings.

    One row per record: record, e0, e1, ... The parquet file also holds the encoder's name and model card
    (pandas gives them as attrs).
    """
    import numpy as np
    import pandas as pd

    from ecgkit.datasets.reader import find_records
    from ecgkit.models import BEST, load_encoder, model_card

    check_output(output, (".parquet", ".csv"), "--output", force)
    encoder = encoder or BEST
    embedder = load_encoder(encoder)
    paths = [path for named in records for path in find_records(named)]
    done = list(applied(on_signal(embedder.embed, embedder.fs), paths, "embedding"))
    if not done:
        raise EcgkitError(f"none of {len(paths)} records could be embedded; nothing was written")
    table = pd.DataFrame(np.stack([embedding for _, embedding in done]),
                         columns=[f"e{k}" for k in range(embedder.n_features)])
    table.insert(0, "record", [str(path) for path, _ in done])
    table.attrs = {"encoder": encoder, "card": model_card(encoder)}
    write_table(table, output)
    print(f"{output}: {len(done)} records, {embedder.n_features} numbers each")
    if len(done) < len(paths):
        raise EcgkitError(f"{len(paths) - len(done)} of {len(paths)} records could not be embedded; the others are in "
                          f"{output}")


def check_output(path: Path, suffixes: tuple[str, ...], option: str, force: bool = False) -> None:
    """Refuse, before any work, an output that could not or should not be written."""
    if path.suffix not in suffixes:
        raise EcgkitError(f"{path}: give {option} a name that ends in {' or '.join(suffixes)}")
    if path.exists() and not (force and path.is_file()):
        remedy = ", or replace it with --force" if option == "--output" else ""
        raise EcgkitError(f"{path} exists; choose another {option}{remedy}")
    if not path.parent.is_dir():
        raise EcgkitError(f"{path.parent}: no such folder to write {path.name} to")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as its name says, whole or not at all; a parquet file keeps `table.attrs`."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        if path.suffix == ".parquet":
            table.to_parquet(partial, index=False)
        else:
            table.to_csv(partial, index=False)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def on_signal(act: Callable[[NDArray[np.float32]], NDArray[Any]], fs: float) -> Callable[[Path], NDArray[Any]]:
    """Of what makes something of signals at a rate, what makes it of a record."""
    from ecgkit.datasets.reader import read_record

    return lambda path: act(read_record(path, fs=fs)[0][None])[0]


def applied(act: Callable[[Path], Made], paths: list[Path], doing: str) -> Iterator[tuple[Path, Made]]:
    """Yield each record with what `act` makes of it; one that cannot be used is told in a line and left out."""
    from ecgkit.progress import track

    for path in track(paths, doing, unit="record"):
        try:
            result = act(path)
        except EcgkitError as error:
            told = error if isinstance(error, RecordError) else RecordError(str(path), str(error))
            print(f"ecgkit: {told}", file=sys.stderr)
            continue
        yield path, result


@app.command()
def measure(records: Records,
            as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list with an object for each record: "
                                                                 "every measurement with its unit, or null and the "
                                                                 "reason.")] = False,
            plot: Annotated[Path | None, typer.Option(help="Draw the annotated ECG to this file, NAME.png (of several "
                                                           "records: NAME-RECORD.png).")] = None,
            waves: Annotated[Path | None, typer.Option(help="Write NAME.csv with beat, wave, onset, peak, offset in "
                                                            "samples of the record (of several records: and "
                                                            "record).")] = None) -> None:
    """Measure recordings: rhythm, intervals, axes, amplitudes of every lead, and the diagnostic rules that they meet.

    Leads may have any spelling, order and unit; 2.5 s or more at 100 Hz or more, of which the first minute is measured.
    An unusable lead is named with the reason (flat, noise, clipped, not finite) and left out.

    Voltages are those of the median beat, relative to the level just before QRS: 0 is a deflection that is not there,
    and a dash is what could not be measured, with the reason below. Age and sex, which some rules need, are taken from
    the header. No cardiologist has reviewed the rules.
    """
    from ecgkit.datasets.reader import find_records

    paths = [path for named in records for path in find_records(named)]
    plots = pages_of(paths, plot, ".png", "--plot") if plot else {}
    if waves:
        check_output(waves, (".csv",), "--waves")

    import pandas as pd

    from ecgkit.study.report import report

    documents, tables = [], []
    for path, found in applied(report, paths, "measuring"):
        if as_json:
            documents.append(found.document)
        else:
            print(found, end="\n\n")
        tables.append(found.waves if len(paths) == 1 else found.waves.assign(record=str(path)))
        if plot:
            found.figure().savefig(plots[path], dpi=127)
    if as_json:
        print(json.dumps(documents, indent=1, allow_nan=False, ensure_ascii=False))
    if waves and tables:
        columns = ["beat", "wave", "onset", "peak", "offset"]
        write_table(pd.concat(tables)[columns if len(paths) == 1 else ["record", *columns]], waves)
    print(DISCLAIMER, file=sys.stderr)
    if len(tables) < len(paths):
        raise EcgkitError(f"{len(paths) - len(tables)} of {len(paths)} records could not be measured")


def pages_of(paths: list[Path], output: Path, suffix: str, option: str, force: bool = False) -> dict[Path, Path]:
    """The file of each record's page: `output` of one record, else its name with the record's; none is overwritten."""
    files = {path: output if len(paths) == 1 else output.with_stem(f"{output.stem}-{path.name}") for path in paths}
    if len(set(files.values())) < len(paths):
        raise EcgkitError(f"two records have the same name, so their files would too; give one at a time to {option}")
    for file in files.values():
        check_output(file, (suffix,), option, force)
    return files


@app.command()
def explain(records: Records,
            label: Annotated[str, typer.Option(help="Label to change (shipped: NORM, MI, STTC, CD or HYP).")],
            output: Annotated[Path, typer.Option("--output", "-o", help="Page to write, NAME.html (of several records: "
                                                                        "NAME-RECORD.html).")],
            to: Annotated[float | None, typer.Option(help="Probability to ask for (default: 0.05 where the classifier "
                                                          "says 0.5 or more, else 0.95).")] = None,
            explainer: Annotated[str, typer.Option(help="A shipped explainer, or a file.")] = "ptbxl-superclass",
            classifier: Annotated[str | None, typer.Option(help="What it explains (default: its namesake).")] = None,
            force: Force = False) -> None:
    """Show what an ECG would look like if the classifier said something else, on a page that needs no network.

    It holds the ECG and its counterfactual, the measurements that changed, a slider of wanted probabilities, and how
    such explanations did in tests. Of a longer record the first 10 s are explained. Where no answer is to be trusted,
    the line printed and the page say why.
    """
    from ecgkit.datasets.reader import find_records
    from ecgkit.explain.record import RecordPages

    paths = [path for named in records for path in find_records(named)]
    pages = pages_of(paths, output, ".html", "--output", force)
    explained, done = RecordPages(label, to, explainer=explainer, classifier=classifier), 0
    for path, line in applied(lambda path: explained.write(path, pages[path]), paths, "explaining"):
        done += 1
        print(f"{path}: {line}; {pages[path]}")
    print(DISCLAIMER, file=sys.stderr)
    if done < len(paths):
        raise EcgkitError(f"{len(paths) - done} of {len(paths)} records could not be explained")


@app.command()
def bench(as_json: Annotated[bool, typer.Option("--json", help="Rows of name, value, unit, against, ratio, target, "
                                                               "met.")] = False,
          data: Annotated[Path | None, typer.Option(help="Folder in PTB-XL's layout, to time the reader on; by "
                                                              "default, simulated records.")] = None,
          ) -> None:
    """Measure the speed of the simulator, the reader and the evaluator against their alternatives."""
    from ecgkit.bench import run_all

    table = run_all(data)
    print(table.to_json(orient="records") if as_json else table.to_string(index=False))


if __name__ == "__main__":
    main()
