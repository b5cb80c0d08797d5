"""The page on one ECG: what it says is what was given, nothing comes from outside, and it fits every screen."""

import re

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from ecgkit.errors import EcgkitError
from ecgkit.explain.report.page import Beside, Explanation, explain_ecg, report_html
from ecgkit.explain.results import Counterfactuals, judged
from ecgkit.simulator import Cohort
from tests.explain.report.sweeps import REPEATABILITY, hand_made
from tests.explain.report.test_changes import Loudness

EVIL = "<img src=x onerror='window.hurt=1'>"
CARDS = {"classifier": {"data": f"sample {EVIL}", "n_train": 12, "settings": {"secret": 1},
                        "test_auroc": {"MI": 0.9258, "macro": 0.9068, "HYP": 0.5}}}
BATTERY = pd.DataFrame({"result": ["0.97", np.nan], "n": [361, 12]},
                       index=pd.Index(["reaches what is wanted", EVIL], name="test"))


def explanation(n=2, **other):
    sweep = hand_made()
    reason = np.array(["", "not reached: MI is 0.33, wanted 0.05"], dtype=object)[:n]
    answers = Counterfactuals(sweep.signals[:n], np.array([[0.85, 0.04], [0.3, 0.33]])[:n], reason == "", reason)
    values = {"record": f"patients/7 {EVIL}", "label_names": ("NORM", "MI"), "probabilities": np.array([0.02, 0.9]),
              "wanted": 0.05, "answers": answers, "measured": sweep.measured.iloc[:n], "sweep": sweep}
    return Explanation(**values | other)


@pytest.fixture(scope="module")
def html():
    return report_html(explanation(), repeatability=REPEATABILITY, cards=CARDS, battery=BATTERY,
                       battery_data="simulated ECGs, n = 361")


@pytest.fixture(scope="module")
def soup(html):
    return BeautifulSoup(html, "html.parser")


def rows(table):
    return [[cell.get_text() for cell in row.select("th, td") if "bars" not in cell.get("class", [])]
            for row in table.select("tbody tr")]


def test_it_tells_the_record_the_question_and_every_label(soup):
    assert soup.h1.get_text() == f"patients/7 {EVIL}"
    assert "gave MI a probability of 0.05 instead of 0.90" in soup.header.get_text()
    assert rows(soup.select_one("table.labels")) == [["NORM", "0.02", "0.85"], ["MI", "0.90", "0.04"]]
    assert [bar["style"] for bar in soup.select("table.labels .bar")][-2:] == ["width: 90.0%", "width: 4.0%"]


def test_it_says_of_each_counterfactual_whether_it_was_reached_and_why_not(soup):
    good, bad = soup.select(".verdict")
    assert good.get_text() == "Reached. Wanted MI 0.05, obtained 0.04."
    assert "No counterfactual to use." in bad.get_text()
    assert "not reached: MI is 0.33, wanted 0.05" in bad.get_text()
    assert "do not read it as an explanation" in bad.get_text()


def test_measurements_stand_before_and_after_with_units_and_change(soup):
    table = soup.select("section")[1].table
    found = {row[0]: row[1:] for row in rows(table)}
    assert found["QRS, ms"] == ["145", "102", "−43"]
    assert found["PR, ms"] == ["160", "–", "–"]
    assert found["R in V5, mV"] == ["0.90", "0.05", "−0.85"]
    assert [row.th.get_text() for row in table.select("tr.beyond")] == ["QRS, ms", "R in V5, mV"]
    assert "That holds for 2 of the 3 measurements" in soup.select("section")[1].get_text()
    assert "QRS 145 → 102 ms" in soup.select_one("img")["alt"]


def test_battery_and_card_are_printed_and_nothing_is_injected(soup):
    assert soup.select("img[onerror]") == []
    battery = next(s for s in soup.select("section") if s.h2.get_text().startswith("How far"))
    assert rows(battery.table) == [["reaches what is wanted", "0.97", "361"], [EVIL, "–", "12"]]
    assert "simulated ECGs, n = 361" in battery.get_text()
    card = {dt.get_text(): dt.find_next("dd").get_text() for dt in soup.select("dt")}
    assert card == {"trained on": f"sample {EVIL}", "training ECGs": "12", "test AUROC, MI": "0.926",
                    "test AUROC, macro": "0.907"}


def test_it_is_one_file_that_asks_for_nothing_and_says_what_it_is_not(html, soup):
    assert not re.search(r"https?:|@import|url\(", html)
    assert all(tag.get("src", tag.get("href")).startswith("data:") for tag in soup.select("[src], [href]"))
    assert "not a medical device" in soup.header.get_text()
    assert "not a medical device" in soup.footer.get_text()
    assert len(soup.select(".ecgkit-slider")) == 1


def test_without_a_battery_there_is_no_such_section():
    page = BeautifulSoup(report_html(explanation(1), repeatability={}, cards={}), "html.parser")
    assert [h.get_text() for h in page.select("h2")] == [
        "What the classifier says", "Counterfactual", "From one answer to the other", "The models"]
    assert "No measurement changed beyond repeatability." in page.select_one("img")["alt"]


def test_another_model_and_its_reasons_stand_before_the_counterfactual():
    beside = Beside(f"joined {EVIL}", "0.77", ["QRS 148 ms: +0.19", f"{EVIL}: −0.03"])
    page = BeautifulSoup(report_html(explanation(1), repeatability={}, cards={}, beside=beside), "html.parser")
    assert [h.get_text() for h in page.select("h2")][:3] == [
        "What the classifier says", "What measurements say", "Counterfactual"]
    section = page.select("section")[1]
    assert [item.get_text() for item in section.select("li")] == beside.reasons
    assert f"joined {EVIL}, which reads measurements" in section.get_text()
    assert "gives MI a probability of 0.77" in section.get_text()
    assert "explains the network, not this model" in section.get_text()
    assert page.select("img[onerror]") == []


def test_an_ecg_is_asked_once_and_along_a_sweep():
    classifier, x = Loudness(), Cohort(seed=1).signals([3])[0]
    got = explain_ecg(lambda s, target: judged(classifier, s, target, ("A", "B")), classifier, x, "B", 0.05,
                      label_names=("A", "B"), fs=100, record="r")
    assert len(got.answers) == len(got.measured) == 1
    assert got.answers.reason[0].startswith("not reached: B")
    assert len(got.sweep.wanted) == 13
    assert got.probabilities[1] == pytest.approx(got.sweep.now)
    # Measured alone and among others: convolutions round otherwise in batches of other sizes (0.1 µV).
    pd.testing.assert_series_equal(got.measured.iloc[0], got.sweep.before, check_names=False, atol=1e-4)


@pytest.mark.parametrize("wrong", [{"measured": hand_made().measured}, {"probabilities": np.zeros(3)}])
def test_what_does_not_fit_is_refused_in_one_line(wrong):
    with pytest.raises(EcgkitError, match="patients/7") as caught:
        explanation(**wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.browser
def test_in_a_browser_it_fits_wide_and_narrow_light_dark_and_printed(browse, html, tmp_path):
    file = tmp_path / "r.html"
    file.write_text(html, encoding="utf-8")

    views = ((1280, "light"), (390, "dark"))
    seen = [browse(lambda browser, at=at: _look(browser, file.as_uri(), *at)) for at in views]
    white, dark = "rgb(255, 255, 255)", "rgb(22, 24, 27)"
    assert seen == [([], width, 0, colour, True, False, True, white)
                    for width, colour in ((1280, white), (390, dark))]


def _look(browser, url, width, scheme):
    """What goes wrong, the page's width, whether a script was injected, and what shows on screen and on paper."""
    tab, faults = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme), []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("console", lambda message: faults.append(message.text))
    tab.on("request", lambda request: faults.append(request.url) if request.url.startswith("http") else None)
    tab.goto(url)
    faults += tab.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => 'broken ' + i.alt)")
    background = "getComputedStyle(document.body).backgroundColor"
    screen = (tab.evaluate("document.documentElement.scrollWidth"), tab.evaluate("window.hurt ?? 0"),
              tab.evaluate(background), tab.locator("input").is_visible())
    tab.emulate_media(media="print")
    paper = tab.locator("input").is_visible(), tab.locator("img").first.is_visible(), tab.evaluate(background)
    tab.close()
    return (faults, *screen, *paper)
