"""Commands that train: a classifier, an encoder without labels, and a classifier of an encoder."""

from __future__ import annotations

from typing import Annotated

import typer

from ecgkit import __version__
from ecgkit.cli.options import Cache, Device, Rate, Root, Seed, Table, Task, Weights, check_new, given


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

    check_new(output)
    data = load(source, **given(root=root, table=table, task=task, fs=fs, cache=cache))
    settings = SupervisedSettings(encoder=encoder, schedule=Schedule(epochs=epochs))
    model, _ = train_classifier(data.train, validation=data.validation, settings=settings, seed=seed, device=device,
                                checkpoints=output.with_suffix(".checkpoints"))
    scores = evaluate(model, data.test, validation=data.validation)
    save_classifier(model, output, model_card(data, settings, seed=seed, scores=scores))
    print(scores.round(3).to_string())


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

    check_new(output)
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

    check_new(output)
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
