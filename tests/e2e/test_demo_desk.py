"""The demo's desk: somebody who has only the command's lines and a keyboard decides a ticket while the demo runs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path

from playwright.async_api import async_playwright, expect

from streams.sandbox.process import ChildProcess
from tests.support.browsers import chromium

WAIT_S = 150.0
#: The demo's own processes may have all of the machine.
SHOWN_MS = 60_000


async def printed(demo: ChildProcess, what: str) -> re.Match[str]:
    """Return the match of a pattern in the last lines once it is there."""
    deadline = time.monotonic() + WAIT_S
    while (found := re.search(what, demo.tail(40))) is None:
        assert demo.alive, demo.tail(40)
        assert time.monotonic() < deadline, demo.tail(40)
        await asyncio.sleep(0.05)
    return found


async def test_the_first_ticket_is_decided_by_keys_alone_while_the_demo_runs(tmp_path: Path) -> None:
    program, report = chromium(), tmp_path / "report.json"
    command = [sys.executable, "-m", "streams.cli", "demo", "--desk", "--no-memory", "--report", str(report)]
    demo = ChildProcess(command)
    try:
        async with async_playwright() as playwright:
            options = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = await playwright.chromium.launch(executable_path=program, args=options)
            page = await browser.new_page()
            page.set_default_timeout(SHOWN_MS)
            address = (await printed(demo, r"the first ticket waits at (http://\S+)")).group(1)
            await page.goto(address)
            await page.keyboard.press("n")
            await expect(page.get_by_test_id("ticket-text")).to_be_visible(timeout=SHOWN_MS)
            first = await page.get_by_role("heading", level=1).inner_text()
            await page.keyboard.press("1")
            await expect(page.get_by_test_id("undo")).to_be_visible(timeout=SHOWN_MS)
            await expect(page.get_by_role("heading", level=1)).not_to_have_text(first, timeout=SHOWN_MS)
            await browser.close()
        await printed(demo, "still at " + re.escape(address))
        lines = demo.tail(60)
        assert lines.index("the first ticket waits at") < lines.index("compare  "), "before the demo is over"
        figures = json.loads(report.read_text())
        assert figures["tickets"] == figures["routed"] + figures["in_review"] + figures["dead_letters"]
        assert figures["duplicates"] == figures["lost"] == figures["unscored_accepts"] == 0
    finally:
        await demo.stop(20)
