"""The interactive figure: what it draws is what was computed, in a real browser, by keyboard, wide and narrow."""

import json
import re
from base64 import b64decode

import numpy as np
import pytest
from bs4 import BeautifulSoup

from ecgkit.explain.report.slider import slider_html, still_panels
from ecgkit.leads import LEADS
from tests.explain.report.sweeps import REPEATABILITY, hand_made

EVIL = "</script><script>window.hurt = 1</script><img src=x onerror='hurt=1'>\" onload=\"hurt=1"


def heights(d: str) -> np.ndarray:
    """The heights in mV that a path goes through."""
    first, rest = re.fullmatch(r"M0 (-?\d+)l(.*)", d).groups()
    steps = np.array([[int(n) for n in re.fullmatch(r"(5)([+-]\d+)", pair).groups()] for pair in rest.split(" ")])
    return -np.cumsum([int(first), *steps[:, 1]]) / 200


def shown(lead: int, row: np.ndarray) -> np.ndarray:
    """The 2.5 s of a lead that stand in its column, from the ECG's median."""
    return row[lead, lead // 3 * 250:][:250]


def paths(html: str, kind: str) -> list[np.ndarray]:
    return [heights(path["d"]) for path in BeautifulSoup(html, "html.parser").select(f"path.{kind}")]


def page(*pieces: str) -> str:
    return ("<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'><link rel=icon "
            f"href='data:,'><title>t</title><body>{''.join(pieces)}")


@pytest.mark.parametrize("start", [0, 5, 12])
def test_the_still_picture_is_the_ecg_and_one_answer(start):
    sweep = hand_made()
    html = slider_html(sweep, title="t", repeatability=REPEATABILITY, start=start)
    for kind, signal in (("before", sweep.original), ("after", sweep.signals[start])):
        drawn = paths(html, kind)
        assert len(drawn) == 13
        for lead in range(12):
            middle = np.median(shown(lead, sweep.original))
            np.testing.assert_allclose(drawn[lead], shown(lead, signal) - middle, atol=0.011)
        np.testing.assert_allclose(drawn[12], signal[1] - np.median(sweep.original[1]), atol=0.011)


def test_it_starts_at_the_answer_furthest_from_the_ecg_itself():
    assert "Wanted 0.05, obtained 0.06. This ECG: 0.90." in slider_html(hand_made(), title="t", repeatability={})
    assert "Wanted 0.95" in slider_html(hand_made(now=0.1), title="t", repeatability={})


def test_a_short_ecg_shows_all_leads_at_once_and_another_rate_is_drawn_alike():
    short = paths(slider_html(hand_made(seconds=2.5), title="t", repeatability={}), "before")
    assert [len(line) for line in short] == [250] * 12
    fast = paths(slider_html(hand_made(fs=500), title="t", repeatability={}), "before")
    slow = paths(slider_html(hand_made(), title="t", repeatability={}), "before")
    for a, b in zip(fast, slow, strict=True):
        np.testing.assert_allclose(a, b, atol=0.02)


def test_large_edits_are_kept_to_a_127th():
    sweep = hand_made(signals=hand_made().signals * 8)
    drawn = paths(slider_html(sweep, title="t", repeatability={}, start=12), "after")
    step = np.abs(sweep.signals[12] - sweep.original).max() / 127
    middle = np.median(shown(0, sweep.original))
    np.testing.assert_allclose(drawn[0], shown(0, sweep.signals[12]) - middle, atol=step)


def test_it_is_small_alone_and_says_what_it_is():
    rng = np.random.default_rng(0)
    noisy = hand_made(signals=hand_made().signals + rng.normal(0, 0.3, (13, 12, 1000)).astype(np.float32))
    html = slider_html(noisy, title="t", repeatability=REPEATABILITY)
    assert len(html.encode()) < 150_000
    assert not re.search(r"(?:src|href)=|https?:|@import|url\(", html)
    assert "not a medical device" in html
    assert "<noscript>" in html
    assert html == slider_html(noisy, title="t", repeatability=REPEATABILITY)


def test_text_from_outside_stays_text():
    html = slider_html(hand_made(label=EVIL), title=EVIL, repeatability=REPEATABILITY)
    soup = BeautifulSoup(html, "html.parser")
    assert len(soup.select("script")) == 2
    assert not soup.select("img, [onerror], [onload]")
    assert soup.select_one(".heading").get_text() == EVIL


def test_the_data_hold_every_answer():
    sweep = hand_made()
    html = slider_html(sweep, title="t", repeatability=REPEATABILITY)
    data = json.loads(BeautifulSoup(html, "html.parser").select_one("script[type='application/json']").string)
    original = np.frombuffer(b64decode(data["original"]), "<i2")
    edits = np.frombuffer(b64decode(data["edits"]), "i1").reshape(13, -1)
    assert data["lengths"] == [250] * 12 + [1000]
    for k in range(13):
        strip = original[:250] + data["answers"][k]["scales"][0] * edits[k, :250].astype(int)
        np.testing.assert_allclose(strip / 200, shown(0, sweep.signals[k]) - np.median(shown(0, sweep.original)),
                                   atol=0.011)
    assert [answer["cells"][2] for answer in data["answers"]][::12] == [["102", "−43", True], ["146", "+1", False]]
    assert "not reached" in data["answers"][1]["said"]


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (320, "dark")])
def test_in_a_browser_it_moves_by_keyboard_and_fits(browse, width, scheme):
    sweep = hand_made()
    pieces = [slider_html(sweep, title=EVIL, repeatability=REPEATABILITY, start=6),
              slider_html(sweep, title="another", repeatability=REPEATABILITY, start=2)]

    def look(browser):
        tab, faults = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme), []
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("console", lambda message: faults.append(message.text))
        tab.set_content(page(*pieces))
        seen = [tab.evaluate(SEEN)]
        tab.locator("input").first.focus()
        for key in ("End", "ArrowLeft", "Home"):
            tab.keyboard.press(key)
            seen.append(tab.evaluate(SEEN))
        fits = tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        columns = tab.evaluate(COLUMNS)
        hurt, name = tab.evaluate("window.hurt ?? 0"), tab.locator("input").first.evaluate("i => i.labels[0].innerText")
        tab.close()
        return faults, seen, fits, columns, hurt, name

    faults, seen, fits, columns, hurt, name = browse(look)
    assert not faults
    assert not hurt
    assert fits
    assert columns == (4 if width > 600 else 2)
    assert name.strip() == "Wanted probability of MI"
    for place, k in enumerate((6, 12, 11, 0)):
        expected = slider_html(sweep, title=EVIL, repeatability=REPEATABILITY, start=k)
        soup = BeautifulSoup(expected, "html.parser")
        assert seen[place]["paths"] == [path["d"] for path in soup.select("path.after")]
        assert seen[place]["said"] == seen[place]["valuetext"] == soup.select_one(".said").get_text()
        assert seen[place]["cells"] == [cell.get_text() for cell in soup.select("tbody td")]
        assert seen[place]["bold"] == [row.th.get_text() for row in soup.select("tr.beyond")]
        assert seen[place]["other"].startswith("Wanted 0.20")


COLUMNS = "getComputedStyle(document.querySelector('.leads')).gridTemplateColumns.split(' ').length"
SEEN = """() => {
  const [figure, other] = document.querySelectorAll('.ecgkit-slider');
  const all = (what, of) => [...figure.querySelectorAll(what)].map(of);
  return {paths: all('path.after', p => p.getAttribute('d')), said: figure.querySelector('.said').textContent,
    valuetext: figure.querySelector('input').getAttribute('aria-valuetext'),
    cells: all('tbody td', cell => cell.textContent), bold: all('tr.beyond th', cell => cell.textContent),
    other: other.querySelector('.said').textContent};
}"""


@pytest.mark.browser
def test_without_javascript_the_still_picture_shows_and_no_dead_slider(browse):
    def look(browser):
        context = browser.new_context(java_script_enabled=False)
        tab = context.new_page()
        tab.set_content(page(slider_html(hand_made(), title="t", repeatability=REPEATABILITY)))
        seen = (tab.locator("input").is_visible(), tab.locator(".said").inner_text(),
                tab.locator("noscript").inner_text(), tab.locator("path.after").count())
        context.close()
        return seen

    visible, said, note, drawn = browse(look)
    assert not visible
    assert said.startswith("Wanted 0.05")
    assert "Without JavaScript" in note
    assert drawn == 13


@pytest.mark.parametrize("fs", [100, 500])
def test_a_still_ecg_is_drawn_as_the_slider_draws_it(fs):
    sweep = hand_made(fs=fs, signals=0 * hand_made(fs=fs).signals + hand_made(fs=fs).original)
    panels = still_panels(sweep.original, fs)
    slider = BeautifulSoup(slider_html(sweep, title="t", repeatability={}), "html.parser")
    assert [panel["before"] for panel in panels] == [path["d"] for path in slider.select("path.before")]
    assert [f"0 0 {panel['width']} {panel['height']}" for panel in panels] == \
        [svg["viewbox"] for svg in slider.select("svg")]
    assert [panel["lead"] for panel in panels] == [*LEADS, "II"]
    assert not any(panel["after"] for panel in panels)


def test_every_lead_is_named_in_order():
    soup = BeautifulSoup(slider_html(hand_made(), title="t", repeatability={}), "html.parser")
    assert [tag.get_text() for tag in soup.select(".name")] == [*LEADS, "II"]
