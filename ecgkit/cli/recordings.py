"""Commands on a user's own recordings: classify, embed, measure, explain."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ecgkit.cli.options import DISCLAIMER, Anyway, Force, Records, check_output, pages_of, write_table
from ecgkit.errors import EcgkitError, RecordError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ecgkit.cli.gate import Seen

Made = TypeVar("Made")


def predict(records: Records,
            model: Annotated[str, typer.Option(help="A shipped classifier, or a file: of a network, or few-label.")]
            = "ptbxl-joined",
            as_json: Annotated[bool, typer.Option("--json", help="One JSON object per record.")] = False,
            why: Annotated[bool, typer.Option("--why", help="Also what moves the forest of a few-label model most: of "
                                                            "its likeliest label (with --json, of each).")] = False,
            anyway: Anyway = False) -> None:
    """Classify recordings of any lead spelling, order, unit and rate.

    A recording that is no ECG, or too noisy, clipped or short to judge, gets no answer but the reason; what to beware
    of in the others (leads off, exchanged electrodes, pacing) is told, and how unlike the training ECGs they are.
    """
    from ecgkit.cli.gate import Gate
    from ecgkit.training.few_labels import FewLabelClassifier, load_any

    classifier = load_any(model)
    few = classifier if why and isinstance(classifier, FewLabelClassifier) else None
    if why and few is None:
        raise EcgkitError(f"--why needs a few-label model, and {model} is a network")
    gate, paths = Gate(model, classifier), found(records)
    if not as_json:
        print("  ".join([f"{'record':<32}", *(f"{name:>6}" for name in classifier.label_names)]))
    done = 0

    def act(path: Path) -> tuple[Seen, NDArray[Any] | None, dict[str, list[str]]]:
        seen = gate(path)
        if seen.withheld and not anyway:
            return seen, None, {}
        if few is None:
            return seen, classifier.predict_proba(seen.at(classifier.fs))[0], {}
        from scipy.special import expit

        from ecgkit.explain.attribution.forest import reasons_for

        known = few.see(seen.at(few.fs))
        return seen, expit(few.logits(known))[0], reasons_for(few, known.measured[0])

    for path, (seen, probabilities, told) in applied(act, paths, "classifying"):
        document = {"record": str(path), **seen.document}
        if probabilities is None:
            if as_json:
                print(json.dumps(document))
            print(f"ecgkit: {seen.refusal(path)}", file=sys.stderr)
            continue
        done += 1
        if as_json:
            named = {name: round(float(p), 4) for name, p in zip(classifier.label_names, probabilities, strict=True)}
            print(json.dumps({**document, "probabilities": named, **({"reasons_for": told} if why else {})}))
        else:
            print("  ".join([f"{path!s:<32}", *(f"{p:>6.3f}" for p in probabilities)]))
            for note in seen.notes:
                print(f"  {note}")
            if told:
                likeliest = classifier.label_names[int(probabilities.argmax())]
                print(f"  for {likeliest}, says its forest:", *told[likeliest], sep="\n    ")
    print(DISCLAIMER, file=sys.stderr)
    if done < len(paths):
        raise EcgkitError(f"{len(paths) - done} of {len(paths)} records could not be classified; the others are above")


def embed(records: Records,
          output: Annotated[Path, typer.Option("--output", "-o", help="File to write: NAME.parquet or NAME.csv.")],
          encoder: Annotated[str | None, typer.Option(help="A shipped encoder, or a file of weights (default: the best "
                                                           "that is shipped).")] = None,
          force: Force = False, anyway: Anyway = False) -> None:
    """Turn recordings of any lead spelling, order, unit and rate into embeddings.

    One row per record: record, e0, e1, ... The parquet file also holds the encoder's name and model card, and what the
    gate says of each record: usable, warnings, novelty (pandas gives them as attrs).
    """
    import numpy as np
    import pandas as pd

    from ecgkit.cli.gate import Gate
    from ecgkit.models import BEST, load_encoder, model_card

    check_output(output, (".parquet", ".csv"), "--output", force)
    encoder = encoder or BEST
    embedder = load_encoder(encoder)
    gate, paths = Gate(), found(records)

    def act(path: Path) -> tuple[Seen, NDArray[Any]]:
        seen = gate(path)
        embedding = embedder.embed(seen.at(embedder.fs))[0]
        return seen.or_withheld(path, anyway), embedding

    done = list(applied(act, paths, "embedding"))
    if not done:
        raise EcgkitError(f"none of {len(paths)} records could be embedded; nothing was written")
    table = pd.DataFrame(np.stack([embedding for _, (_, embedding) in done]),
                         columns=[f"e{k}" for k in range(embedder.n_features)])
    table.insert(0, "record", [str(path) for path, _ in done])
    table.attrs = {"encoder": encoder, "card": model_card(encoder),
                   "gate": {str(path): seen.document for path, (seen, _) in done}}
    write_table(table, output)
    for path, (seen, _) in done:
        for warning in seen.found.warnings[0].values():
            print(f"{path}: {warning}", file=sys.stderr)
    print(f"{output}: {len(done)} records, {embedder.n_features} numbers each")
    if len(done) < len(paths):
        raise EcgkitError(f"{len(paths) - len(done)} of {len(paths)} records could not be embedded; the others are in "
                          f"{output}")


def measure(records: Records,
            as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list with an object for each record: "
                                                                 "every measurement with its unit, or null and the "
                                                                 "reason.")] = False,
            plot: Annotated[Path | None, typer.Option(help="Draw the annotated ECG to this file, NAME.png (of several "
                                                           "records: NAME-RECORD.png).")] = None,
            waves: Annotated[Path | None, typer.Option(help="Write NAME.csv with beat, wave, onset, peak, offset in "
                                                            "samples of the record (of several records: and "
                                                            "record).")] = None,
            anyway: Anyway = False) -> None:
    """Measure recordings: rhythm, intervals, axes, amplitudes of every lead, and the diagnostic rules that they meet.

    Leads may have any spelling, order and unit; 2.5 s or more at 100 Hz or more, of which the first minute is measured.
    An unusable lead is named with the reason (flat, noise, clipped, not finite) and left out.

    Voltages are those of the median beat, relative to the level just before QRS: 0 is a deflection that is not there,
    and a dash is what could not be measured, with the reason below. Age and sex, which some rules need, are taken from
    the header. No cardiologist has reviewed the rules.
    """
    paths = found(records)
    plots = pages_of(paths, plot, ".png", "--plot") if plot else {}
    if waves:
        check_output(waves, (".csv",), "--waves")

    import pandas as pd

    from ecgkit.cli.gate import Gate
    from ecgkit.cli.measured import Report, report

    gate = Gate()
    documents, tables = [], []

    def act(path: Path) -> tuple[Seen, Report]:
        measured = report(path)
        return gate.look(measured.signal, measured.fs), measured

    for path, (seen, measured) in applied(act, paths, "measuring"):
        if seen.withheld and not anyway:
            documents.append({"record": str(path), **seen.document})
            print(f"ecgkit: {seen.refusal(path)}", file=sys.stderr)
            continue
        if as_json:
            documents.append({**measured.document, **seen.document, "reasons": measured.reasons})
        else:
            print(measured, *(f"  note       {note}" for note in seen.notes), sep="\n", end="\n\n")
        tables.append(measured.waves if len(paths) == 1 else measured.waves.assign(record=str(path)))
        if plot:
            measured.figure().savefig(plots[path], dpi=127)
    if as_json:
        print(json.dumps(documents, indent=1, allow_nan=False, ensure_ascii=False))
    if waves and tables:
        columns = ["beat", "wave", "onset", "peak", "offset"]
        write_table(pd.concat(tables)[columns if len(paths) == 1 else ["record", *columns]], waves)
    print(DISCLAIMER, file=sys.stderr)
    if len(tables) < len(paths):
        raise EcgkitError(f"{len(paths) - len(tables)} of {len(paths)} records could not be measured")


def explain(records: Records,
            label: Annotated[str, typer.Option(help="Label to change (shipped: NORM, MI, STTC, CD or HYP).")],
            output: Annotated[Path, typer.Option("--output", "-o", help="Page to write, NAME.html (of several records: "
                                                                        "NAME-RECORD.html).")],
            to: Annotated[float | None, typer.Option(help="Probability to ask for (default: 0.05 where the classifier "
                                                          "says 0.5 or more, else 0.95).")] = None,
            explainer: Annotated[str, typer.Option(help="A shipped explainer, or a file.")] = "ptbxl-superclass",
            classifier: Annotated[str | None, typer.Option(help="What it explains (default: its namesake).")] = None,
            force: Force = False, anyway: Anyway = False) -> None:
    """Show what an ECG would look like if the classifier said something else, on a page that needs no network.

    It holds the ECG and its counterfactual, the measurements that changed, a slider of wanted probabilities, and how
    such explanations did in tests. Of a longer record the first 10 s are explained. Where no answer is to be trusted,
    the line printed and the page say why. Both name what is explained: a network, never a few-label classifier.
    """
    from ecgkit.cli.gate import Gate
    from ecgkit.explain.report.page import RecordPages

    paths = found(records)
    pages = pages_of(paths, output, ".html", "--output", force)
    explained, done = RecordPages(label, to, explainer=explainer, classifier=classifier), 0
    gate = Gate(explained.name, explained.classifier)

    def act(path: Path) -> tuple[Seen, str]:
        seen = gate(path).or_withheld(path, anyway)
        return seen, explained.write(path, pages[path], notes=seen.notes)

    for path, (seen, line) in applied(act, paths, "explaining"):
        done += 1
        print(f"{path}: {line}; explains the network {explained.name}; {pages[path]}")
        for warning in seen.found.warnings[0].values():
            print(f"{path}: {warning}", file=sys.stderr)
    print(DISCLAIMER, file=sys.stderr)
    if done < len(paths):
        raise EcgkitError(f"{len(paths) - done} of {len(paths)} records could not be explained")


def found(records: list[Path]) -> list[Path]:
    """Every record that a user named, those in folders and lists included."""
    from ecgkit.datasets.reader import find_records

    return [path for named in records for path in find_records(named)]


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
