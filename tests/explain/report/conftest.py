"""A browser for the pages of explanations."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.book.conftest import BROWSERS, FLAGS

Look = Callable[[Any], Any]


@pytest.fixture(scope="session")
def browse() -> Iterator[Callable[[Look], Any]]:
    """Call a function with Chromium, and give what it gives.

    In a thread of its own: Playwright runs once in a thread, and the tests of the book may have theirs open.
    """
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("no Chromium on the path; install it: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with ThreadPoolExecutor(1) as thread:
        playwright = thread.submit(lambda: sync_playwright().start()).result()
        browser = thread.submit(lambda: playwright.chromium.launch(executable_path=executable, args=FLAGS)).result()
        yield lambda look: thread.submit(look, browser).result()
        thread.submit(browser.close).result()
        thread.submit(playwright.stop).result()
