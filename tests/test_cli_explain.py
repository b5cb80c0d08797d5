"""`ecgkit explain`: a page for a user's own records; one-line errors; nothing overwritten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup

from ecgkit.datasets import from_arrays
from ecgkit.explain.counterfactual.gan import CounterfactualGAN
from ecgkit.explain.counterfactual.training import GANSettings
from ecgkit.leads import LEADS
from ecgkit.models import Classifier, build_encoder, load_classifier, save_classifier
from ecgkit.simulator import Cohort
from tests.conftest import Run
from tests.datasets.helpers import write_record

TINY = GANSettings(steps=1, batch_size=4, generator={"widths": (8, 8), "kernel_size": 3},
                   discriminator={"widths": (8, 8), "kernel_size": 3})
BATTERY = [{"test": "reaches what is wanted", "result": "0.97"}, {"test": "other networks follow", "result": "0.86"}]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that finds every ECG normal and no infarction, an explainer of it, and another classifier."""
    folder = tmp_path_factory.mktemp("models")
    signals = Cohort(seed=1).signals(range(4))
    for seed, name in enumerate(("classifier", "other")):
        torch.manual_seed(seed)
        model = Classifier(build_encoder("xresnet1d18", widths=(8, 8, 8, 8)), ("NORM", "MI"), fs=100, crop_len=250)
        with torch.no_grad():
            model.head[-1].weight.mul_(0.01)
            model.head[-1].bias.copy_(torch.tensor([3.0, -3.0]))
        save_classifier(model, folder / f"{name}.safetensors", {"data": f"made up for {name}", "n_train": 7})
    data = from_arrays(signals, np.zeros((4, 2)), ("NORM", "MI"), 100.0)
    classifier = load_classifier(folder / "classifier.safetensors")
    CounterfactualGAN(classifier, settings=TINY).fit(data).save(
        folder / "explainer.safetensors", {"data": "four ECGs", "battery": BATTERY, "battery_data": "12 ECGs"})
    return folder


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds at 100 Hz, the first of them in another order, unit and rate but 15 s long, and a short one."""
    folder = tmp_path_factory.mktemp("records")
    plain, long = (Cohort(seed=3, fs=fs, seconds=seconds, noise=0.3).signals([3])[0].astype(float)
                   for fs, seconds in ((100, 10), (500, 15)))
    write_record(folder, "plain", plain, fs=100)
    order = np.random.default_rng(0).permutation(12)
    write_record(folder, "long", 1000 * long[order], fs=500, gain=1, units="uV",
                 lead_names=[LEADS[k].upper() for k in order])
    write_record(folder, "short", plain[:, :150], fs=100)
    return folder


def weights(models: Path, classifier: str = "classifier") -> tuple[object, ...]:
    return "--explainer", models / "explainer.safetensors", "--classifier", models / f"{classifier}.safetensors"


def test_a_page_and_a_line_for_each_record(run: Run, models: Path, records: Path, tmp_path: Path) -> None:
    code, output, errors = run("explain", records / "plain", records / "short", records / "long", "--label", "MI",
                               *weights(models), "-o", tmp_path / "page.html")
    assert code == 2, "one could not be explained"
    assert "short" in errors
    assert "1 of 3 records could not be explained" in errors
    assert "not a medical device" in errors
    pages = [tmp_path / f"page-{name}.html" for name in ("plain", "long")]
    assert sorted(tmp_path.iterdir()) == sorted(pages)
    lines = output.splitlines()
    for line, name, page in zip(lines, ("plain", "long"), pages, strict=True):
        assert line.startswith(f"{records / name}: MI 0.05 -> 0.0")
        assert "not reached: MI is 0.0" in line
        assert "wanted 0.95" in line, "it sees no MI, so that is asked for"
        assert line.endswith(f"; explains the network {models / 'classifier.safetensors'}; {page}")
    soup = BeautifulSoup(pages[1].read_text(encoding="utf-8"), "html.parser")
    assert soup.h1.get_text() == str(records / "long")
    assert "10 s at 100 Hz" in soup.header.get_text()
    assert f"The classifier is the network {models / 'classifier.safetensors'}." in soup.header.get_text()
    text = soup.get_text()
    for words in ("made up for classifier", "four ECGs", "other networks follow", "Measured on 12 ECGs"):
        assert words in text
    assert len(soup.select(".ecgkit-slider")) == 1


def test_what_is_seen_is_asked_away_and_what_is_wanted_is_asked(run: Run, models: Path, records: Path,
                                                                tmp_path: Path) -> None:
    code, output, errors = run("explain", records / "plain", "--label", "NORM", *weights(models), "-o",
                               tmp_path / "page.html")
    assert code == 0, errors
    assert "NORM 0.95 -> 0.9" in output
    assert "wanted 0.05" in output
    arguments = ("explain", records / "plain", "--label", "NORM", "--to", "0.94", *weights(models), "-o",
                 tmp_path / "page.html")
    before = (tmp_path / "page.html").read_text()
    code, output, errors = run(*arguments)
    assert (code, output) == (2, "")
    assert "page.html exists; choose another --output, or replace it with --force" in errors
    assert (tmp_path / "page.html").read_text() == before
    code, output, errors = run(*arguments, "--force")
    assert code == 0, errors
    assert "NORM 0.95 -> 0.95, valid; " in output, "it is so already"
    assert "a probability of 0.94 instead of 0.95" in (tmp_path / "page.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(("arguments", "words"), [
    (("--label", "AF"), "no label 'AF'; the classifier has NORM, MI"),
    (("--label", "MI", "--to", "1"), "target of MI: give one probability between 0 and 1"),
    (("--label", "MI", "-o", "page.pdf"), "page.pdf: give --output a name that ends in .html"),
    (("--label", "MI", "-o", "none/page.html"), "none: no such folder to write page.html to"),
    (("--label", "MI", "--classifier", "nosuch"), "nosuch: no such file of weights"),
])
def test_a_mistake_is_one_line_before_any_work(run: Run, models: Path, records: Path, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...],
                                               words: str) -> None:
    monkeypatch.chdir(tmp_path)
    code, output, errors = run("explain", records / "plain", "-o", "page.html", *weights(models), *arguments)
    assert (code, output) == (2, "")
    assert words in errors
    assert len(errors.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_an_explainer_needs_its_own_classifier(run: Run, models: Path, records: Path, tmp_path: Path) -> None:
    page = ("-o", tmp_path / "page.html", "--label", "MI")
    for given, words in ((weights(models, "other"), "explains another classifier"),
                         (weights(models)[:2], "give also the classifier that it explains")):
        code, output, errors = run("explain", records / "plain", *page, *given)
        assert (code, output) == (2, "")
        assert words in errors
        assert len(errors.splitlines()) == 1


def test_help_is_worth_reading(run: Run) -> None:
    code, output, _ = run("explain", "--help")
    assert code == 0
    for words in ("--label", "--to", "--explainer", "--classifier", "--force", "first 10 s", "default: 0.05"):
        assert words in " ".join(output.split())
