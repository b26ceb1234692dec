"""A real browser for the tests: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil

import pytest


def chromium() -> str:
    """Return Chromium's program; without one the test fails where CI is set, and is skipped elsewhere."""
    found = shutil.which("chromium")
    if found is None:
        reason = "there is no Chromium: make browser"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found
