"""The built site and Chromium, for the tests of the site."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SITE = Path(__file__).parents[1] / "build" / "site"
OFFLINE = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
"""Without a window, and without asking a network of its own accord."""


def built() -> Path:
    """The folder of the site. Skips where it was not made."""
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built: python docs/build.py")
    return SITE


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser. Skips where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium here")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=list(OFFLINE))
        yield found
        found.close()
