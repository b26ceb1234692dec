"""The desk in a real browser: the whole way from a click to routed, by keys alone, without JavaScript, on a phone, for all eyes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, Request, Response, Route, async_playwright, expect

from schemas import Review
from streams.kafka.readers import decode, reader
from streams.kafka.send import publish
from streams.kafka.topics import create_topics
from streams.reviews.claims import Claims
from streams.reviews.store import ReviewStore
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.settings import Settings
from tests.support.browsers import chromium
from tests.support.desks import PASSWORD, desk_of, desk_settings, doubt, users_file, written
from tests.support.messages import alert, routed

PREFIX = "desk-browser."
HOSTILE = (
    "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"> pay\u202egnp.exe \x1b[31m"
)
PHONE = {"width": 360, "height": 740}
#: No test waits for its end: a store whose clock is later ends it.
UNDO_S = 600.0

pytestmark = pytest.mark.asyncio(loop_scope="module")
# What is right is seen at once; this is only how long a busy machine may take to show it.
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)


@dataclass(frozen=True)
class Served:
    """A desk that runs, and its settings."""

    settings: Settings
    address: str


@pytest.fixture(scope="module")
def desk(embedded_broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("desk")
    settings = desk_settings(
        folder,
        bootstrap=embedded_broker.bootstrap,
        prefix=PREFIX,
        users=str(users_file(folder)),
        undo_s=UNDO_S,
        port=0,
    )

    async def fill() -> None:
        await create_topics(settings.broker.connection, prefix=PREFIX, partitions=1, replication=1)
        await publish([routed("r-1"), alert()], settings.broker.connection, prefix=PREFIX, wire=settings.wire)

    with asyncio.Runner() as runner:
        runner.run(fill())
        running = desk_of(written(folder, settings))
        _, address = runner.run(running.__aenter__())
        yield Served(settings, address)
        runner.run(running.__aexit__(None, None, None))


@pytest.fixture
def store(desk: Served) -> Iterator[ReviewStore]:
    """The store, in which each test waits for its own tickets. Its clock is past the end of every undoing."""
    store = ReviewStore(desk.settings.review.url, wall_ms=lambda: time.time_ns() // 1_000_000 + round(UNDO_S * 1000))
    yield store
    Claims(store.database).forget_ended(2**62)
    for item in store.waiting(100):
        store.decide(item.review.review_id, None, "rita", "", 1)
    end_undoing(store)
    store.close()


def end_undoing(store: ReviewStore) -> None:
    """Let the desk send all decisions, those too that can be undone."""
    due, _ = store.take_due()
    store.leave(due)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started() -> AsyncIterator[Browser]:
    program = chromium()
    async with async_playwright() as playwright:
        # Chromium's own sandbox needs rights that a container lacks, and refuses root.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(store: ReviewStore, started: Browser) -> AsyncIterator[Browser]:
    """The browser, in which no page of another test is open."""
    yield started
    for context in started.contexts:
        await context.close()


async def logged_in(browser: Browser, desk: Served, name: str = "rita", **options: object) -> Page:
    context: BrowserContext = await browser.new_context(base_url=desk.address, **options)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    await page.goto("/login")
    await log_in(page, name)
    await expect(page.get_by_test_id("queue-count")).to_be_visible()
    if options.get("java_script_enabled", True):
        await listens(page)
    return page


async def log_in(page: Page, name: str = "rita") -> None:
    await page.get_by_test_id("login-name").fill(name)
    await page.get_by_test_id("login-password").fill(PASSWORD)
    await page.get_by_test_id("login-submit").click()


async def listens(page: Page) -> None:
    """Return once the page's script runs: it shows this button, and from then on a key is heard."""
    await expect(page.locator("#help-button")).to_be_visible()


async def shows(page: Page, ticket_id: str) -> None:
    """Return once the page of a ticket is there, and its keys are heard."""
    await expect(page.get_by_role("heading", name=ticket_id)).to_be_visible()
    await listens(page)


def is_page_of(ticket_id: str) -> Callable[[Response], bool]:
    """Return whether an answer is the page of a ticket, shown or fetched ahead."""
    return lambda answer: urlsplit(answer.url).path == f"/tickets/{ticket_id}"


async def test_a_click_routes_a_ticket_and_an_undone_one_stays(
    desk: Served, store: ReviewStore, browser: Browser
) -> None:
    store.add_all([doubt("click-1", 2.0), doubt("click-2", 1.0)])
    page = await logged_in(browser, desk)
    await page.clock.install()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await expect(page.get_by_test_id("queue-row")).to_have_count(2)
    await page.get_by_test_id("queue-row").first.click()
    await expect(page.get_by_role("heading", name="click-1")).to_be_visible()
    await page.locator('[data-testid="label-button"][data-label="refund"]').click()
    await expect(page.get_by_role("heading", name="click-2")).to_be_visible()
    await page.get_by_test_id("undo").click()
    await expect(page.get_by_role("heading", name="click-1")).to_be_visible()
    await page.locator('[data-testid="label-button"][data-label="account"]').click()
    await expect(page.get_by_role("heading", name="click-2")).to_be_visible()
    await expect(page.get_by_test_id("undo")).to_be_visible()
    await page.clock.fast_forward(round(UNDO_S * 1000))
    await expect(page.get_by_test_id("undo")).to_be_hidden()
    end_undoing(store)
    async with reader(["routed"], desk.settings.broker.connection, prefix=PREFIX) as consumer, asyncio.timeout(60):
        results = [decode(record, PREFIX) async for record in _until(consumer, "click-1")]
    assert [(each.label, each.decided_by, each.reviewer) for each in results if each.ticket_id == "click-1"] == [
        ("account", "human", "rita")
    ]
    assert asked
    assert all(url.startswith(desk.address) for url in asked), "nothing comes from elsewhere"


async def _until(consumer, ticket_id):  # type: ignore[no-untyped-def]
    async for record in consumer:
        yield record
        if record.key == ticket_id.encode():
            return


async def test_two_reviewers_share_the_queue(desk: Served, store: ReviewStore, browser: Browser) -> None:
    store.add_all([doubt("two-1", 2.0), doubt("two-2", 1.0)])
    rita, rolf = await logged_in(browser, desk), await logged_in(browser, desk, "rolf")
    await rita.get_by_test_id("queue-row").first.click()
    await expect(rita.get_by_test_id("claimed-by")).to_contain_text("rita (you)")
    # By itself, as a server-sent event.
    await expect(rolf.get_by_test_id("claimed-by")).to_contain_text("rita has it open")
    await rolf.get_by_role("link", name="Start").click()
    await expect(rolf.get_by_role("heading", name="two-2")).to_be_visible()
    await rolf.goto("/tickets/two-1")
    await expect(rolf.get_by_test_id("claimed-by")).to_contain_text("rita")
    await expect(rolf.get_by_test_id("label-button")).to_have_count(0)
    await rita.get_by_role("link", name="Queue", exact=True).click()
    await expect(rita.get_by_test_id("queue-count")).to_be_visible()
    await rolf.reload()
    await expect(rolf.get_by_test_id("label-button")).to_have_count(3)


async def test_keys_alone_decide_undo_and_skip(desk: Served, store: ReviewStore, browser: Browser) -> None:
    store.add_all([doubt("key-1", 3.0), doubt("key-2", 2.0, text="find the zebra"), doubt("key-3", 1.0)])
    page = await logged_in(browser, desk)
    await page.keyboard.press("n")
    await shows(page, "key-1")
    await page.keyboard.press("2")
    await shows(page, "key-2")
    await page.keyboard.press("u")
    await shows(page, "key-1")
    await page.keyboard.press("s")
    await shows(page, "key-2")
    await page.keyboard.press("0")
    await shows(page, "key-3")
    await expect(page.locator("#undo-form")).to_contain_text("key-2: none of these")
    item = store.get("key-2")
    assert item is not None
    assert item.decision is not None
    assert item.decision.verdict.label is None
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await page.keyboard.press("/")
    await expect(page.get_by_label("Search")).to_be_focused()
    await page.keyboard.type("0 is no decision here")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("queue-row")).to_have_count(0)


async def test_the_next_ticket_is_shown_without_a_page_being_loaded(
    desk: Served, store: ReviewStore, browser: Browser
) -> None:
    store.add_all([doubt("ahead-1", 3.0), doubt("ahead-2", 2.0), doubt("ahead-3", 1.0)])
    page = await logged_in(browser, desk)
    async with page.expect_response(is_page_of("ahead-2")):
        await page.get_by_test_id("queue-row").first.click()
    await shows(page, "ahead-1")
    assert Claims(store.database).held([Review.id_for("ahead-2")], 0) == {}, "it is fetched, and free"
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {urlsplit(request.url).path}"))
    async with (
        page.expect_response(lambda answer: answer.url.endswith("/api/claim")),
        page.expect_response(is_page_of("ahead-3")),
    ):
        await page.keyboard.press("1")
    await shows(page, "ahead-2")
    assert page.url == f"{desk.address}/tickets/ahead-2"
    assert asked[0] == "POST /api/decide"
    assert "GET /tickets/ahead-2" not in asked
    assert "GET /tickets/ahead-3" in asked, "the one after it is fetched now"
    await expect(page.locator("#undo-form")).to_contain_text("ahead-1: account")
    claims = Claims(store.database).held([Review.id_for("ahead-2")], 0)
    assert [claim.name for claim in claims.values()] == ["rita"]
    # A decision that the desk refuses leaves the reviewer where they are, and is told.
    store.decide(Review.id_for("ahead-2"), None, "rita", "", 1)
    await page.keyboard.press("1")
    await expect(page.get_by_role("alert")).to_contain_text("ahead-2 is not decided: 'rita' has already decided")
    await expect(page.get_by_role("heading", name="ahead-2")).to_be_visible()
    await page.keyboard.press("n")
    await expect(page.get_by_role("heading", name="ahead-3")).to_be_visible()


async def test_a_decision_made_before_the_next_ticket_is_here_waits_for_it(
    desk: Served, store: ReviewStore, browser: Browser
) -> None:
    store.add_all([doubt("early-1", 3.0), doubt("early-2", 2.0)])
    page = await logged_in(browser, desk)
    decided, loads = asyncio.Event(), list[str]()

    async def hold(route: Route) -> None:
        await decided.wait()
        await route.continue_()

    await page.route(lambda url: "ahead=1" in url, hold)
    await page.goto("/tickets/early-1")
    page.on("request", lambda request: loads.append(request.url) if request.is_navigation_request() else None)
    async with page.expect_response(lambda answer: answer.url.endswith("/api/decide")):
        await page.keyboard.press("1")
    await expect(page.get_by_role("heading", name="early-1")).to_be_visible()
    decided.set()
    await expect(page.get_by_role("heading", name="early-2")).to_be_visible()
    await expect(page.locator("#undo-form")).to_contain_text("early-1: account")
    assert loads == [], "no page was loaded"


async def test_a_note_outlives_a_login_and_a_lost_claim_is_told(
    desk: Served, store: ReviewStore, browser: Browser
) -> None:
    store.add(doubt("note-1", 9.0))
    page = await logged_in(browser, desk)
    await page.goto("/tickets/note-1")
    await page.get_by_label("Note").fill("a long note")
    await page.context.clear_cookies()
    await page.locator('[data-testid="label-button"][data-label="refund"]').click()
    await log_in(page)
    await shows(page, "note-1")
    await expect(page.get_by_label("Note")).to_have_value("a long note")
    claims, now = Claims(store.database), time.time_ns() // 1_000_000
    claims.release_all("rita")
    claims.take(Review.id_for("note-1"), "rolf", now, now + 600_000)
    await page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page.get_by_role("alert")).to_have_text("rolf has this ticket open now.")


async def test_a_ticket_is_a_small_page_from_this_desk_alone(
    desk: Served, store: ReviewStore, browser: Browser
) -> None:
    store.add(doubt("small-1", 9.0, text="word " * 3_000, metadata={"shop": "north"}))
    page = await logged_in(browser, desk)
    # Another window of the same person: nothing is in its cache.
    state = await page.context.storage_state()
    fresh = await browser.new_context(storage_state=state, base_url=desk.address)
    page = await fresh.new_page()
    requests: list[Request] = []
    page.on("requestfinished", lambda request: requests.append(request))  # noqa: PLW0108 - it marks what it is given
    # Nothing follows, so that what is fetched ahead is the queue.
    async with page.expect_event("requestfinished", lambda request: urlsplit(request.url).path == "/queue"):
        await page.goto("/tickets/small-1")
    sizes = [await request.sizes() for request in requests]
    asked = [urlsplit(request.url) for request in requests]
    assert {url.path for url in asked} >= {"/tickets/small-1", "/static/desk.css", "/static/desk.js"}
    assert {url.netloc for url in asked} == {urlsplit(desk.address).netloc}
    assert 15_000 < sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes) < 100_000


async def test_without_javascript_on_a_phone(desk: Served, store: ReviewStore, browser: Browser) -> None:
    store.add_all([doubt("phone-1", 2.0, text="x" * 3_000), doubt("phone-2", 1.0)])
    page = await logged_in(browser, desk, java_script_enabled=False, viewport=PHONE)
    await page.get_by_test_id("queue-row").first.click()
    await expect(page.get_by_test_id("ticket-text")).to_be_visible()
    await expect(page.locator("#help-button")).to_be_hidden()
    await page.get_by_test_id("none-button").click()
    await expect(page.get_by_role("heading", name="phone-2")).to_be_visible()
    await page.get_by_test_id("undo").click()
    await expect(page.get_by_role("heading", name="phone-1")).to_be_visible()
    await page.get_by_test_id("skip").click()
    await expect(page.get_by_role("heading", name="phone-2")).to_be_visible()
    sighted = await logged_in(browser, desk, viewport=PHONE)
    for path in ("/queue", "/tickets/phone-1", "/overview"):
        await sighted.goto(path)
        assert await sighted.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path


async def test_a_hostile_ticket_is_text_and_nothing_else(desk: Served, store: ReviewStore, browser: Browser) -> None:
    store.add(doubt('<b onmouseover="x">&', 9.0, text=HOSTILE, metadata={"<script>": "</script><script>"}))
    page = await logged_in(browser, desk)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    await page.get_by_test_id("queue-row").first.click()
    text = page.get_by_test_id("ticket-text")
    await expect(text).to_contain_text("<script>document.title='taken'</script>")
    await expect(text).to_contain_text("payU+202Egnp.exe U+001B[31m")
    assert await page.title() != "taken"
    assert await page.locator("main script, main img").count() == 0
    assert said == [], "nothing was even tried"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pages_are_for_everybody(desk: Served, store: ReviewStore, browser: Browser, scheme: str) -> None:
    """WCAG 2.1 A and AA, as far as axe-core can tell."""
    store.add_all([doubt("all-1", 2.0, slice="vip", metadata={"shop": "north"}), doubt("all-2")])
    page = await logged_in(browser, desk, "otto", color_scheme=scheme)
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
    more = (
        ("/alerts", "/dead-letters", "/journal", "/memory", "/policies", "/tickets/none") if scheme == "light" else ()
    )
    for path in ("/queue", "/tickets/all-1", "/overview", *more):
        await page.goto(path)
        found = (await Axe().run(page, options=options)).response
        assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == [], path
        assert "color-contrast" in {each["id"] for each in found["passes"]}, path
    if scheme == "light":
        await page.goto("/tickets/all-1")
        timing = await page.evaluate(_FIRST_PAINT)
        sizes = await page.evaluate(
            "() => performance.getEntries().map((e) => e.transferSize || 0).reduce((a, b) => a + b)"
        )
        assert sizes < 100_000
        assert timing < 3_000, "300 ms on a quiet machine"


#: Resolves once there is something to see. The page's policy forbids eval, which Playwright's own waiting for a function needs.
_FIRST_PAINT = """() => new Promise((seen) => new PerformanceObserver((list) => {
    for (const entry of list.getEntriesByName('first-contentful-paint')) seen(entry.startTime);
}).observe({type: 'paint', buffered: true}))"""
