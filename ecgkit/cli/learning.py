"""Commands that train: a classifier, an encoder without labels, and a classifier of an encoder."""

from __future__ import annotations

from typing import Annotated

import typer

from ecgkit import __version__
from ecgkit.cli.options import Cache, Device, Fraction, Rate, Root, Seed, Table, Task, Weights, check_new, given
from ecgkit.errors import EcgkitError

#: Ways to train a classifier, and the options that mean nothing to each.
_NOT_FOR = {"network": ("fraction",), "few-label": ("fs", "epochs", "device")}


def train(context: typer.Context,
          source: Annotated[str, typer.Argument(help="synthetic, ptbxl, challenge, ludb or folder.")],
          output: Weights, root: Root = None, table: Table = None, task: Task = None, fs: Rate = None,
          method: Annotated[str, typer.Option(help="network; or few-label: measurements, rules and an encoder.")]
          = "network",
          encoder: Annotated[str | None, typer.Option(help="Of a network: xresnet1d18 (default), -34, -50, -101; of "
                                                           "few-label: a shipped one or a file.")] = None,
          epochs: Annotated[int, typer.Option(min=1, help="Passes over the training data.")] = 30,
          fraction: Fraction = 1, seed: Seed = 0, device: Device = "cpu", cache: Cache = None) -> None:
    """Train a classifier on folds 1 to 8, watch fold 9, and score fold 10 once.

    A run that was killed resumes when called again. ECGs whose labels are not used (few-label) help without them.
    """
    from ecgkit.datasets import load
    from ecgkit.models import save_classifier
    from ecgkit.models.weights import BEST, load_backbone
    from ecgkit.training import FewLabelClassifier, Schedule, SupervisedSettings, evaluate, model_card, train_classifier

    if method not in _NOT_FOR:
        raise EcgkitError(f"no method {method!r} trains a classifier; choose {' or '.join(_NOT_FOR)}")
    for name in _NOT_FOR[method]:
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE":
            raise EcgkitError(f"--{name} does not apply to --method {method}; leave it out")
    check_new(output)
    backbone = load_backbone(encoder or BEST) if method == "few-label" else None
    data = load(source, **given(root=root, table=table, task=task, fs=backbone.fs if backbone else fs, cache=cache))
    if backbone:
        few = data.train.label_fraction(fraction, seed)
        rest = data.train.subset(~data.train.records["patient_id"].isin(few.records["patient_id"]).to_numpy())
        joined = FewLabelClassifier(data.fs, seed, backbone, folder=output.with_suffix(".checkpoints"))
        joined.fit(few.signals, few.labels, groups=few.records["patient_id"], label_names=data.label_names,
                   unlabelled=rest.signals if len(rest) else None)
        scores = evaluate(joined, data.test, validation=data.validation)
        told = {"method": method, "encoder": encoder or BEST, "n_trees": joined.n_trees, "n_unlabelled": len(rest)}
        joined.save(output, model_card(data, told, seed=seed, scores=scores) | {"n_train": len(few)})
    else:
        settings = SupervisedSettings(encoder=encoder or "xresnet1d18", schedule=Schedule(epochs=epochs))
        model, _ = train_classifier(data.train, validation=data.validation, settings=settings, seed=seed,
                                    checkpoints=output.with_suffix(".checkpoints"), device=device)
        scores = evaluate(model, data.test, validation=data.validation)
        save_classifier(model, output, model_card(data, settings, seed=seed, scores=scores))
    print(scores.round(3).to_string())


def pretrain(source: Annotated[str, typer.Argument(help="synthetic, ptbxl, challenge, ludb, folder or cinc2011.")],
             output: Weights, root: Root = None, table: Table = None, task: Task = None, fs: Rate = None,
             method: Annotated[str, typer.Option(help="simclr, cmsc, cmlc, cmsmlc, pclr, 3kg, supcon, poly_window, "
                                                      "guided, physiology, moco_v3, byol, barlow, vicreg, cpc, utah, "
                                                      "simulator or simulator_contrast.")]
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

    check_new(output)
    data = load(source, **given(root=root, table=table, task=task, fs=fs, cache=cache))
    data = data.train if "strat_fold" in data.records else data
    settings = PretrainSettings(encoder=encoder, schedule=replace(PretrainSettings().schedule, epochs=epochs))
    embedder, history = learn(data, method=method, settings=settings, seed=seed, device=device,
                              checkpoints=output.with_suffix(".checkpoints"))
    save_encoder(embedder, output, {"method": method, "data": data.name, "n_ecgs": len(data), "epochs": epochs,
                                    "seed": seed, "fingerprint": data.fingerprint(), "ecgkit": __version__,
                                    "intended_use": "research and teaching; not a medical device"})
    print(history.dropna().tail(1).round(3).to_string(index=False))


def finetune(encoder: Annotated[str, typer.Argument(help="A shipped encoder, or a file of weights.")],
             source: Annotated[str, typer.Argument(help="synthetic, ptbxl, challenge, ludb or folder.")],
             output: Weights, root: Root = None, table: Table = None, task: Task = None,
             fraction: Fraction = 1,
             steps: Annotated[int, typer.Option(min=1, help="Least optimiser steps after the head is fitted.")] = 300,
             seed: Seed = 0, device: Device = "cpu", cache: Cache = None) -> None:
    """Make a classifier of a pretrained encoder with the labels of folds 1 to 8, and score fold 10 once."""
    from ecgkit.datasets import load
    from ecgkit.models import load_encoder, save_classifier
    from ecgkit.training import evaluate, model_card
    from ecgkit.training.finetune import FinetuneSettings
    from ecgkit.training.finetune import finetune as fit

    check_new(output)
    embedder = load_encoder(encoder)
    data = load(source, **given(root=root, table=table, task=task, fs=embedder.fs, cache=cache))
    few = data.train.label_fraction(fraction, seed)
    model, _ = fit(embedder, few, validation=data.validation, settings=FinetuneSettings(steps=steps), seed=seed,
                   checkpoints=output.with_suffix(".checkpoints"), device=device)
    scores = evaluate(model, data.test, validation=data.validation)
    card = model_card(data, {"encoder": encoder, "steps": steps}, seed=seed, scores=scores)
    save_classifier(model, output, card | {"n_train": len(few)})
    print(scores.round(3).to_string())
