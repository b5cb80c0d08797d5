"""Page 13: a set that is blinded and balanced, a page that keeps and saves answers, and scores of known answers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bs4 import BeautifulSoup
from sklearn.metrics import cohen_kappa_score, roc_auc_score

import ecgkit
from ecgkit.datasets import ECGDataset
from ecgkit.datasets.synthetic import cohort_of
from ecgkit.errors import EcgkitError
from ecgkit.study.reading import (
    ARMS,
    KEY,
    MACHINE,
    NONE,
    PAGE,
    Case,
    ReadingSet,
    machine_answers,
    make_set,
    margin_limits,
    page_html,
    printed_scores,
    read_study,
    save,
    score_table,
    words,
)
from tests.explain.report.test_slider import heights

Made = tuple[ReadingSet, dict[str, Any], Case]


@pytest.fixture(scope="module")
def cohort() -> ECGDataset:
    return ecgkit.load("synthetic", n_patients=600)


@pytest.fixture(scope="module")
def made(cohort: ECGDataset) -> Made:
    return make_set(ecgkit.explain.load(), cohort, n_each=1, seed=3)


def test_a_set_has_every_arm_singles_first_and_no_patient_twice(made: Made) -> None:
    reading, key, example = made
    told = [key["cases"][case.id] for case in reading.cases]
    assert Counter((case["kind"], case["pair"]) for case in told) == {(kind, pair): n for kind, pair, n in ARMS}
    assert [case["pair"] for case in told] == [bool(case.label) for case in reading.cases] == [False] * 4 + [True] * 2
    assert len({case["patient_id"] for case in told}) == 6
    assert example.label
    assert example.id not in key["cases"]
    assert key["set"] == reading.id


def test_what_is_shown_is_what_the_key_says(made: Made, cohort: ECGDataset) -> None:
    reading, key, _ = made
    place = {record: k for k, record in enumerate(cohort.records["record"])}
    for case in reading.cases:
        told = key["cases"][case.id]
        row, shown = place[told["record"]], case.signals[-1]
        assert case.signals.shape == (1 + told["pair"], 12, 1000)
        fold = cohort.records["strat_fold"].iloc[row]
        assert fold in range(1, 9) if told["kind"] == "neighbour" else fold == 10
        assert np.array_equal(shown, cohort.batch([row])[0]) == (told["kind"] != "edited")
        has = dict(zip(cohort.label_names, cohort.labels[row], strict=True))
        if told["kind"] == "edited":
            assert (told["label"] in told["labels"]) == (told["wanted"] > 0.5)
        else:
            assert told["labels"] == sorted(name for name in has if has[name])
        if told["pair"]:
            assert (case.label, case.wanted) == (told["label"], told["wanted"])
            before = (cohort.test.signals == case.signals[0]).all(axis=(1, 2))
            assert before.sum() == 1, "the first of a pair is a recording of fold 10"
        else:
            assert not case.label, "of a single ECG nothing tells what was asked"
            assert (case.age, case.sex) == tuple(cohort.records.iloc[row][["age", "sex"]])


def test_a_set_is_drawn_by_its_seed(made: Made, cohort: ECGDataset) -> None:
    explainer = ecgkit.explain.load()
    again, key, _ = make_set(explainer, cohort, n_each=1, seed=3)
    assert (again.id, key) == (made[0].id, made[1])
    other, _, _ = make_set(explainer, cohort, n_each=1, seed=4)
    assert other.id != again.id
    assert {case.id for case in other.cases} != {case.id for case in again.cases}


def test_too_few_ecgs_and_other_labels_are_said() -> None:
    few = ecgkit.load("synthetic", n_patients=60)
    with pytest.raises(EcgkitError, match="lower n_each"):
        make_set(ecgkit.explain.load(), few, n_each=1)
    with pytest.raises(EcgkitError, match="load it as the explainer knows it"):
        make_set(ecgkit.explain.load(), few.with_labels(["MI"]))


def test_the_page_draws_the_cases_and_does_not_know_the_truth(made: Made) -> None:
    reading, key, _ = made
    html = page_html(reading, credit="<b>whose</b>")
    soup = BeautifulSoup(html, "html.parser")
    parts = soup.select("section.case")
    assert [part["data-case"] for part in parts] == [case.id for case in reading.cases]
    for part, case in zip(parts, reading.cases, strict=True):
        drawn = [heights(path["d"]) for path in part.select("path.before")]
        assert len(drawn) == 13 * len(case.signals)
        for k, signal in enumerate(case.signals):
            np.testing.assert_allclose(drawn[13 * k + 12], signal[1] - np.median(signal[1]), atol=0.011)
    bare = [re.sub(r' d="[^"]*"|viewbox="[^"]*"|translate\([^)]*\)|stroke-width="\d+"', "", str(part))
            .replace(case.id, "").replace(case.who, "") for part, case in zip(parts, reading.cases, strict=True)]
    assert len({re.sub(r"Case \d+", "", text) for text in bare[:4]}) == 1, "single ECGs look alike, whatever they are"
    text = soup.get_text(" ") + " ".join(str(tag.attrs) for tag in soup.find_all(True) if tag.name != "path")
    assert "neighbour" not in html
    assert not any(case["record"] in text for case in key["cases"].values())
    assert not re.search(r"(?:src|href)=\"(?!data:)|https?:|@import|url\(", html)
    assert "connect-src" not in html
    assert "default-src 'none'" in html
    assert "not a medical device" in text
    assert "Nothing leaves this device" in text
    assert not soup.select("b:-soup-contains('whose')"), "text from outside stays text"
    assert len(html.encode()) < 40_000 * 8
    for field in soup.select("fieldset"):
        assert field.legend.get_text()
        assert all(box.parent.name == "label" and box.parent.get_text().strip() for box in field.select("input"))


def pair(before: np.ndarray, after: np.ndarray, wanted: float, name: str) -> Case:
    return Case(name, np.stack([before, after]), 60.0, 0.0, "CD", wanted)


def test_the_machine_reads_a_bundle_branch_block_and_its_true_counterfactual(cohort: ECGDataset) -> None:
    full = np.flatnonzero(cohort.records["severity_LBBB"] > 0.9)[:1]
    block = cohort.batch(full)[0]
    narrow = cohort_of(cohort).counterfactual(cohort.records["ecg_index"].to_numpy()[full], ["LBBB"])[0]
    well = cohort.batch(np.flatnonzero(cohort.labels[:, cohort.label_names.index("NORM")])[:1])
    cases = (Case("s", block[None], 60.0, 0.0), Case("w", well, 30.0, 0.0), Case("f", 0 * well, np.nan, np.nan),
             pair(block, narrow, 0.05, "away"), pair(narrow, block, 0.95, "there"), pair(block, narrow, 0.95, "wrong"),
             pair(block, block, 0.05, "same"))
    limits = margin_limits(cohort.validation)
    told = machine_answers(ReadingSet(cases, cohort.label_names, 100.0, "t"), limits)
    answers = told["answers"]
    assert "CD" in answers["s"]["labels"]
    assert [answers[name]["labels"] for name in ("w", "f")] == [["NORM"], [NONE]], "nothing measured is not normal"
    assert {answers[name]["verdict"] for name in "swf"} == {"cannot tell"}
    assert [answers[name]["fits"] for name in ("away", "there")] == ["fits", "fits"]
    assert [answers[name]["fits"] for name in ("wrong", "same")] == ["does not fit", "does not fit"]
    assert (told["reader"], told["kind"]) == (MACHINE, "machine")


def test_a_margin_that_measuring_twice_moves_as_far_fits_partly_only(made: Made, cohort: ECGDataset) -> None:
    limits = margin_limits(cohort.validation)
    assert 0 <= limits["complete LBBB"] < 1
    plain, never = (machine_answers(made[0], each)["answers"] for each in (limits, dict.fromkeys(limits, np.inf)))
    pairs = [case.id for case in made[0].cases if case.label and case.id in plain]
    assert any(plain[name]["fits"] == "fits" for name in pairs)
    assert {never[name]["fits"] for name in pairs} <= {"partly", "does not fit"}


CASES = {name: {"kind": kind, "pair": pair, "label": "MI", "wanted": 0.95, "labels": labels, "patient_id": name,
                "record": name}
         for name, kind, pair, labels in (
             ("e1", "edited", False, ["MI"]), ("e2", "edited", False, ["MI"]), ("e3", "edited", False, ["MI"]),
             ("r1", "real", False, ["NORM"]), ("r2", "real", False, ["MI", "HYP"]), ("n1", "neighbour", False, ["MI"]),
             ("p1", "edited", True, ["MI"]), ("p2", "edited", True, ["MI"]), ("q1", "neighbour", True, ["MI"]))}
THE_KEY = {"set": "abc", "data": "t", "label_names": ["NORM", "MI", "HYP"], "cases": CASES}
ONE = {"e1": {"verdict": "edited", "sure": 3, "labels": ["MI"]},
       "e2": {"verdict": "real", "sure": 1, "labels": ["NORM"]},
       "e3": {"verdict": "cannot tell", "labels": [NONE]}, "r1": {"verdict": "real", "sure": 2, "labels": ["NORM"]},
       "r2": {"verdict": "edited", "sure": 1, "labels": ["HYP"]}, "n1": {"verdict": "cannot tell"},
       "p1": {"fits": "fits"}, "p2": {"fits": "partly"}, "q1": {"fits": "does not fit"}}
TWO = ONE | {"e2": {"verdict": "edited", "sure": 2, "labels": ["MI"]}, "r2": {"verdict": "real", "labels": ["MI"]},
             "p2": {"fits": "fits"}}


def study(folder: Path, **readers: Any) -> Path:
    """A folder with the key and the readers' files; an answer that is no mapping is written as it is."""
    (folder / KEY).write_text(json.dumps(THE_KEY))
    for name, given in readers.items():
        told = given if isinstance(given, str) else json.dumps({"set": "abc", "reader": name, "answers": given})
        (folder / f"answers-{name}.json").write_text(told)
    return folder


def test_scores_of_known_answers(tmp_path: Path) -> None:
    key, readers = read_study(study(tmp_path, one=ONE))
    table = score_table(key, readers, n_boot=200).xs("one", level="reader")
    for measure, estimate, n in (
            ("edited called edited (sensitivity)", 1 / 3, 3), ("real not called edited (specificity)", 2 / 3, 3),
            ("edited held for real", 1 / 3, 3), ("real held for real", 1 / 3, 3),
            ("held for real: edited minus real", 0.0, 6), ("real: label read as given", 0.5, 2),
            ("edited: label read as asked", 1 / 3, 3), ("change fits, edited", 0.5, 2),
            ("change fits at least partly, edited", 1.0, 2), ("change fits, another patient's", 0.0, 1)):
        row = table.loc[measure]
        assert row["estimate"] == pytest.approx(estimate), measure
        assert row["n"] == n, measure
        assert row["low"] <= row["estimate"] <= row["high"], measure
    assert np.isnan(table.loc["real, neighbours: label read as given", "estimate"]), "not answered is not wrong"
    area = table.loc["AUROC of edited, from sureness"]
    assert area["estimate"] == pytest.approx(roc_auc_score([1, 1, 1, 0, 0, 0], [3, -1, 0, -2, 1, 0]))
    assert area["low"] < area["estimate"] < area["high"]
    assert not any("kappa" in measure for measure in table.index), "one reader agrees with nobody"


def test_readers_agree_as_scikit_learn_says(tmp_path: Path) -> None:
    three = ONE | {"e1": {"verdict": "real"}}
    key, readers = read_study(study(tmp_path, one=ONE, two=TWO, three=three))
    table = score_table(key, readers, n_boot=100).xs("all readers", level="reader")
    singles = ["e1", "e2", "e3", "r1", "r2", "n1"]
    said = [[each[name]["verdict"] for name in singles] for each in (ONE, TWO, three)]
    expected = np.mean([cohen_kappa_score(said[a], said[b]) for a, b in ((0, 1), (0, 2), (1, 2))])
    row = table.loc["agreement (kappa): real or edited"]
    assert row["estimate"] == pytest.approx(expected)
    assert row["low"] <= expected <= row["high"]
    ticks = [[str(label in each[name]["labels"]) for name in singles[:5] for label in THE_KEY["label_names"]]
             for each in (ONE, TWO)]
    two = score_table(key, [each for each in readers if each.reader != "three"], n_boot=20)
    assert two.loc[("agreement (kappa): diagnoses", "all readers"), "estimate"] == \
        pytest.approx(cohen_kappa_score(*ticks))


@pytest.mark.filterwarnings("error")
def test_readers_who_all_say_the_same_one_thing_have_no_kappa(tmp_path: Path) -> None:
    same = {name: {"fits": "fits"} for name in ("p1", "p2", "q1")}
    key, readers = read_study(study(tmp_path, one=same, two=same))
    table = score_table(key, readers, n_boot=20)
    assert np.isnan(table.loc[("agreement (kappa): fits", "all readers"), "estimate"])
    assert np.isnan(table.loc[("edited held for real", "one"), "estimate"])
    assert (printed_scores(table).loc["change fits, edited"] == ["1.00 (1.00–1.00) [2]"] * 2 + ["–"]).all()


@pytest.mark.parametrize(("told", "said"), [
    ("{", "cannot be read"), ("[1]", "holds no mapping"), ("\x80\x04.", "cannot be read"),
    ("[" * 100_000, "cannot be read"),
    ('{"set": "other", "answers": {}}', "answers the set 'other'"), ('{"set": "abc", "answers": [1]}', "no answers"),
    ('{"set": "abc", "answers": {"e1": 3}}', "no answers by case"),
    ({"zz": {"fits": "fits"}}, "a case 'zz' that the key does not have"), ({"p1": {"fits": "yes"}}, "fits 'yes'"),
    ({"e1": {"verdict": ["real"]}}, "verdict"), ({"e1": {"sure": 4}}, "sure 4"),
    ({"e1": {"labels": "MI"}}, "labels 'MI'"),
    ({"e1": {"labels": ["XY"]}}, "XY"), ({"e1": {"truth": "real"}}, "truth"),
])
def test_bad_and_foreign_answers_are_refused_in_one_line(tmp_path: Path, told: Any, said: str) -> None:
    with pytest.raises(EcgkitError) as error:
        read_study(study(tmp_path, one=ONE, zwo=told))
    assert said in str(error.value)
    assert "answers-zwo.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_key_that_is_none_no_answers_and_a_reader_twice_are_said(tmp_path: Path) -> None:
    with pytest.raises(EcgkitError, match="make the set anew"):
        read_study(tmp_path)
    with pytest.raises(EcgkitError, match="no answers"):
        read_study(study(tmp_path))
    (study(tmp_path, one=ONE) / "answers-copy.json").write_text((tmp_path / "answers-one.json").read_text())
    with pytest.raises(EcgkitError, match="two files are of the reader 'one'"):
        read_study(tmp_path)
    (tmp_path / KEY).write_text('{"set": "abc", "label_names": [], "cases": {"e1": {}}}')
    with pytest.raises(EcgkitError, match="no key"):
        read_study(tmp_path)


def test_the_machine_is_scored_like_any_reader_and_is_no_person(made: Made, cohort: ECGDataset, tmp_path: Path) -> None:
    reading, key, _ = made
    save(tmp_path, reading, key, machine_answers(reading, margin_limits(cohort.validation)), cohort)
    found, readers = read_study(tmp_path)
    assert (found, [each.machine for each in readers]) == (key, [True])
    told = words(found, readers, score_table(found, readers, n_boot=20))
    assert told["people"].startswith("no person")
    assert told["n"] == "6"
    both = [readers[0]._replace(reader="A", machine=False, given={}), *readers]
    again = words(found, both, score_table(found, both, n_boot=20))
    assert again["people"].startswith("one person")
    assert again["fits"] == told["fits"] != "not determined", "the machine's, whoever has read"


ADDRESS = "document.activeElement.closest('section')?.dataset.case"


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_a_case_is_answered_by_keyboard_kept_and_saved(browse: Callable[..., Any], made: Made,
                                                                  tmp_path: Path, width: int) -> None:
    reading, key, _ = made
    page = tmp_path / PAGE
    page.write_text(page_html(replace(reading, data="simulated <ECGs>")), encoding="utf-8")
    first, second = (case.id for case in reading.cases[:2])

    def look(browser: Any) -> tuple[Any, ...]:
        context = browser.new_context(viewport={"width": width, "height": 800}, accept_downloads=True)
        tab, faults = context.new_page(), []
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("console", lambda message: faults.append(message.text))
        tab.on("request", lambda request: faults.append(request.url) if request.url[:4] == "http" else None)
        tab.goto(page.as_uri())
        tab.locator("[name=reader]").focus()
        tab.keyboard.type("A. Reader")
        press(tab, *["Tab"] * 3, "Space", "ArrowRight", "Tab", "Space", "ArrowRight", "Tab", "Tab", "Space")
        progress = tab.locator("[role=status]").inner_text()
        tab.reload()
        kept = tab.locator("[role=status]").inner_text(), tab.locator("[name=reader]").input_value()
        fits = tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        tab.locator("[data-go='1']").focus()
        press(tab, "Enter")
        at = tab.evaluate(ADDRESS), tab.locator("section.case:visible").count()
        with tab.expect_download() as download:
            tab.locator(".save").focus()
            press(tab, "Enter")
        saved, name = Path(download.value.path()).read_text(encoding="utf-8"), download.value.suggested_filename
        context.close()
        return faults, progress, kept, fits, at, saved, name

    faults, progress, kept, fits, at, saved, name = browse(look)
    assert not faults
    assert progress == "1 of 6 answered"
    assert kept == (progress, "A. Reader")
    assert fits
    assert at == (second, 1)
    told = json.loads(saved)
    assert told["answers"] == {first: {"verdict": "edited", "sure": 2, "labels": ["MI"]}}
    assert (told["set"], told["reader"], told["kind"]) == (reading.id, "A. Reader", "person")
    assert name == f"answers-A-Reader-{reading.id}.json"
    (tmp_path / KEY).write_text(json.dumps(key))
    (tmp_path / name).write_text(saved, encoding="utf-8")
    assert read_study(tmp_path)[1][0].given == told["answers"]


def press(tab: Any, *keys: str) -> None:
    for each in keys:
        tab.keyboard.press(each)


@pytest.mark.browser
def test_without_a_place_to_keep_answers_it_says_so(browse: Callable[..., Any], made: Made) -> None:
    def look(browser: Any) -> Any:
        tab = browser.new_page()
        tab.set_content(page_html(made[0]))
        said = tab.locator("[role=status]").inner_text()
        tab.close()
        return said

    assert "save before you leave" in browse(look)
