"""Takes the pictures of the desk that the documents show: ``python -m benchmarks.desk_pictures`` writes them to docs/img.

It needs Debian's Chromium (``make browser``). The tickets are the bundled ones, with answers that were made up.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path

import yaml
from playwright.async_api import async_playwright

from benchmarks.desk import LABELS, reviews
from streams.reviews.store import ReviewStore
from streams.sandbox.process import ChildProcess

_IMAGES = Path(__file__).parents[1] / "docs" / "img"
_PICTURES = {"desk-queue.png": "/queue", "desk-ticket.png": "/next"}
_DESCRIBED = {
    "account": "logging in, the profile, the password",
    "billing": "invoices and payments",
    "cancellation": "ending a subscription",
    "refund": "money back",
    "shipping": "where a parcel is",
    "technical": "what does not work",
}


async def take(folder: Path) -> None:
    """Serve a desk on a small queue, and take the pictures."""
    tier = {"base_url": "http://127.0.0.1:1/v1", "model": "gpt-4o-mini"}
    url = f"sqlite:///{folder / 'reviews.db'}"
    settings = {
        "labels": {label: _DESCRIBED[label] for label in LABELS},
        "tiers": {"cheap": tier, "big": tier},
        "messages": {"write": 2},
        "review": {"url": url},
    }
    config = folder / "hedgerow.yaml"
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    with_store = ReviewStore(url)
    with_store.add_all(reviews(24))
    with_store.close()
    program = shutil.which("chromium")
    if program is None:
        sys.exit("there is no Chromium: make browser")
    process = ChildProcess(
        [sys.executable, "-m", "streams.cli", "desk", "--config", str(config), "--port", "18081"],
        output=folder / "desk.log",
        env={**os.environ, "LOGNAME": "ann"},
    )
    try:
        while "desk at" not in process.tail():
            assert process.alive, process.tail()
            await asyncio.sleep(0.1)
        async with async_playwright() as playwright:
            options = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = await playwright.chromium.launch(executable_path=program, args=options)
            page = await browser.new_page(base_url="http://127.0.0.1:18081", viewport={"width": 1100, "height": 640})
            for name, path in _PICTURES.items():
                await page.goto(path)
                # There is no broker, and that is not what the pictures are about.
                await page.evaluate("document.querySelectorAll('.warn').forEach((each) => each.remove())")
                await page.screenshot(path=_IMAGES / name)
            await browser.close()
    finally:
        await process.stop(10)


def main() -> None:
    """Take the pictures."""
    with tempfile.TemporaryDirectory(prefix="hedgerow-desk-") as folder:
        asyncio.run(take(Path(folder)))


if __name__ == "__main__":
    main()
