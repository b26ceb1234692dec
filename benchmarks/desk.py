"""The desk under load: how fast its pages are over a large queue, and whether every ticket is decided once while things are killed.

``python -m benchmarks.desk pages --reviews 1000000`` fills a store and prints the times of the queue's page, of a text search
and of a decision with its next ticket, and ``browser`` how soon a ticket is to be seen in Chromium.
``python -m benchmarks.desk team`` lets 20 reviewers decide 5,000 reviews while the desk, and PostgreSQL if that is the store,
are killed, and accounts for every ticket and every claim. ``--url`` names the store: PostgreSQL under a schema or database of
its own, which is left as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import yaml

from schemas import NEWEST, Call, Review, Routed, Scored, Ticket, digest_of
from streams.demo.run import read_lines
from streams.desk.app import Application
from streams.desk.desk import Desk
from streams.desk.roles import Role
from streams.desk.users import User, add_token, set_user
from streams.errors import HedgerowError
from streams.kafka.readers import messages_there
from streams.kafka.topics import create_topics
from streams.reviews.claims import Claims
from streams.reviews.facets import facets
from streams.reviews.queue import Filter, Place, Queue
from streams.reviews.store import WAITING, ReviewStore
from streams.reviews.tables import REVIEWS, TEXTS
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.process import ChildProcess
from streams.sandbox.tickets import DEMO
from streams.settings import Settings, check_settings

LABELS = ("account", "billing", "cancellation", "refund", "shipping", "technical")
_SAMPLES = 100
#: How long a ticket is claimed in the team.
_LEASE_S = 6
_TEAM_S = 3_600
_BATCH = 5_000
#: Reviews that are made one by one; the others are copies of them.
_TEMPLATES = 5_000


def reviews(count: int, seed: int = 7) -> Iterator[Review]:
    """Yield reviews with the sample tickets' texts and answers of every degree of doubt."""
    chance = random.Random(seed)
    texts = [Ticket.decode(line).text for line in read_lines(DEMO, None) if b'"text"' in line]
    for number in range(count):
        shares = [chance.random() ** 3 for _ in LABELS]
        total = sum(shares)
        probabilities = {label: share / total for label, share in zip(LABELS, shares, strict=True)}
        label = max(probabilities, key=lambda name: probabilities[name])
        entropy = -sum(p * math.log(p) for p in probabilities.values() if p > 0)
        signal = Scored(
            label=label, confidence=probabilities[label], entropy=entropy, decision_entropy=entropy,
            token_confidence=probabilities[label], token_entropy=entropy, top_k_mass=1.0, k=6, label_probs=probabilities,
            out_of_label=0.0, margin=0.1, min_logprob=-0.5, mean_logprob=-0.5,
        )  # fmt: skip
        ticket_id = f"t-{number:07}"
        yield Review(
            review_id=Review.id_for(ticket_id),
            ticket=Ticket(ticket_id=ticket_id, text=f"{chance.choice(texts)} (order {ticket_id})"),
            calls=(Call(tier="big", model_asked="large", prompt_hash="p", signal=signal),),
            reasons=(chance.choice(["big:low_confidence", "big:high_entropy", "big:tiers_disagree"]),),
            uncertainty=entropy,
            suggested=label,
            policy_id="policy-1",
        )


# How fast.


def fill(store: ReviewStore, count: int) -> float:
    """Store this many reviews and return the seconds it took: copies of some thousand, each as its own ticket.

    They are written as the store would write them; to make and check each message would take most of the time.
    """
    began = time.monotonic()
    made = [(NEWEST.encode(review), review, facets(review)) for review in reviews(min(count, _TEMPLATES))]
    for start in range(0, count, _BATCH):
        rows, texts = [], []
        for number in range(start, min(start + _BATCH, count)):
            encoded, review, facets_ = made[number % len(made)]
            ticket_id = f"t-{number:07}"
            review_id, text = Review.id_for(ticket_id), review.ticket.text.replace(review.ticket_id, ticket_id)
            for old, new in ((review.ticket_id, ticket_id), (review.review_id, review_id)):
                encoded = encoded.replace(old.encode(), new.encode())
            rows.append(
                {
                    "review_id": review_id,
                    "ticket_id": ticket_id,
                    "state": WAITING,
                    # No two are equally uncertain, as with real models.
                    "uncertainty": review.uncertainty + number * 1e-9,
                    "added_ms": 1_700_000_000_000 + number,
                    "review": encoded,
                    "revision": 0,
                    "run": 0,
                    "decisions": 0,
                }
                | facets_
                | {"text_digest": digest_of(text)}
            )
            texts.append({"review_id": review_id, "text": text})
        with store.database.transaction() as connection:
            connection.execute(REVIEWS.insert(), rows)
            connection.execute(TEXTS.insert(), texts)
    return time.monotonic() - began


def p95(work: Callable[[int], object]) -> str:
    """Return what some calls take."""
    times = []
    for number in range(_SAMPLES):
        began = moment()
        work(number)
        times.append(since(began))
    return told(times)


def moment() -> tuple[float, float]:
    """Return now, in seconds: by the clock, and of this process's own work."""
    return time.perf_counter(), time.process_time()


def since(began: tuple[float, float]) -> tuple[float, float]:
    """Return what has passed of both, ms."""
    return (time.perf_counter() - began[0]) * 1000, (time.process_time() - began[1]) * 1000


def told(times: Sequence[tuple[float, float]]) -> str:
    """Return the median and the 95th percentile of some times, and of the work, which other processes do not lengthen."""
    clock, work = ([each[which] for each in times] for which in (0, 1))
    return (
        f"p50 {statistics.median(clock):7.1f} ms   p95 {statistics.quantiles(clock, n=20)[-1]:7.1f} ms   "
        f"of a core: p50 {statistics.median(work):6.1f} ms   p95 {statistics.quantiles(work, n=20)[-1]:6.1f} ms"
    )


def measure(url: str, count: int) -> None:
    """Print the times of a queue of this many reviews: what the store takes, then whole pages as the desk answers them."""
    store = ReviewStore(url)
    queue = Queue(store)
    if queue.count_all() < count:
        print(f"filled with {count} reviews in {fill(store, count):.0f} s", flush=True)
    now = time.time_ns() // 1_000_000
    page = queue.page(Filter(), now)
    places = [page.after]
    while len(places) < _SAMPLES and places[-1] is not None:
        places.append(queue.page(Filter(), now, limit=200, after=places[-1]).after)

    def look(chosen: Filter, after: Place | None = None) -> None:
        queue.look(chosen, now, after=after)

    def decide_and_next(number: int) -> None:
        item = queue.next_for("ann", Filter(), now)
        assert item is not None
        store.decide(item.review.review_id, "refund", "ann", "", now + number, undo_ms=10_000)
        assert queue.next_for("ann", Filter(), now) is not None

    reasons = ("low_confidence", "tiers_disagree", "novel")
    newest = (now - 1_700_000_000_000 - count // 2) / 1000
    broad, rare = ("refund my", "invoice", "parcel", "order"), ("t-0001234", "zzzz", "password reset 99")
    for name, work in (
        ("first page", lambda _: look(Filter())),
        ("a page further on", lambda n: look(Filter(), places[n % len(places)])),
        ("by label", lambda n: look(Filter(label=LABELS[n % 6]))),
        ("by reason", lambda n: look(Filter(reason=reasons[n % 3]))),
        ("by age", lambda n: look(Filter(older_than_s=newest * (n % 3)))),
        ("flagged", lambda _: look(Filter(flagged=True))),
        ("search, many texts", lambda n: look(Filter(text=broad[n % 4]))),
        ("search, few texts", lambda n: look(Filter(text=rare[n % 3]))),
        ("counts", lambda _: (store.counts(), store.hour(now - 3_600_000))),
        ("decide and next", decide_and_next),
    ):
        print(f"{name:<20}", p95(work), flush=True)
    store.close()
    asyncio.run(served(url))


async def served(url: str) -> None:
    """Print the times in which a desk answers, all but the network: its pages, and a decision with the ticket that follows."""
    with tempfile.TemporaryDirectory(prefix="hedgerow-desk-") as home:
        settings, tokens = prepared(Path(home), url, "127.0.0.1:1", 1)
        desk = Desk(settings)
        transport = httpx.ASGITransport(Application(desk, secure=False).asgi)
        headers = {"authorization": f"Bearer {tokens[0]}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://desk", headers=headers) as client:
            times: dict[str, list[tuple[float, float]]] = {"queue as HTML": [], "decide to next": []}
            for _ in range(_SAMPLES):
                began = moment()
                shown = await client.get("/queue")
                times["queue as HTML"].append(since(began))
                assert shown.status_code == 200, shown.text
                to = (await client.get("/api/next")).json()["next"]
                ticket = (await client.get(f"/api{to}")).json()
                began = moment()
                body = {"review_id": ticket["review_id"], "label": "refund"}
                done = await client.post("/api/decide", json=body)
                shown = await client.get(done.json()["next"])
                times["decide to next"].append(since(began))
                assert shown.status_code == 200, shown.text
        desk.store.close()
    for name, each in times.items():
        print(f"{name:<20}", told(each), flush=True)


# How fast in a browser.


async def browse(count: int) -> None:
    """Print how soon a ticket is to be seen in Chromium, how much is sent for it, and from where."""
    from playwright.async_api import async_playwright

    with tempfile.TemporaryDirectory(prefix="hedgerow-desk-") as home:
        folder, port = Path(home), 18_081
        settings, _ = prepared(folder, f"sqlite:///{folder / 'reviews.db'}", "127.0.0.1:1", 1, users=False)
        with closing(ReviewStore(settings.review.url)) as store:
            fill(store, count)
        address = f"http://127.0.0.1:{port}"
        async with desk(folder / "hedgerow.yaml", port), async_playwright() as playwright:
            await answers(address)
            options = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
            cold, warm, sizes, hosts = [], [], [], set()
            for number in range(_SAMPLES // 2):
                context = await browser.new_context()
                page = await context.new_page()
                for times in (cold, warm):
                    await page.goto(f"{address}/tickets/t-{number:07}")
                    times.append(await page.evaluate(_FIRST_PAINT))
                    found = await page.evaluate(_SENT)
                    hosts |= {urlsplit(name).netloc for name, _ in found}
                    sizes.append(sum(size for _, size in found))
                await context.close()
            await browser.close()
    for name, each in (("first paint", cold), ("with styles cached", warm)):
        print(f"{name:<20} p50 {statistics.median(each):5.0f} ms   p95 {statistics.quantiles(each, n=20)[-1]:5.0f} ms")
    print(f"sent for a page      {max(sizes) / 1000:.0f} kB at most, from {', '.join(sorted(hosts))}")


async def answers(address: str) -> None:
    """Return once a desk answers; raises TimeoutError after a minute."""
    async with asyncio.timeout(60), httpx.AsyncClient() as client:
        while True:
            try:
                await client.get(f"{address}/health")
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return


#: Milliseconds from the request to the first thing that is drawn.
_FIRST_PAINT = """() => new Promise((seen) => new PerformanceObserver((list) => {
    for (const entry of list.getEntriesByName('first-contentful-paint')) seen(entry.startTime);
}).observe({type: 'paint', buffered: true}))"""
#: What was asked for, and its bytes.
_SENT = """() => performance.getEntries().filter((each) => each.name.startsWith('http'))
    .map((each) => [each.name, each.transferSize || 0])"""


# Whether every ticket is decided once.


@asynccontextmanager
async def desk(config: Path, port: int) -> AsyncIterator[ChildProcess]:
    """A desk on this port; it is started again whenever it has been killed."""
    command = [sys.executable, "-m", "streams.cli", "desk", "--config", str(config), "--port", str(port)]
    process = ChildProcess(command, output=config.parent / "desk.log")
    try:
        yield process
    finally:
        await process.stop(10)


async def reviewer(
    number: int, address: str, token: str, left: Callable[[], bool], seen: Counter[str], claims: Claims
) -> None:
    """Decide what is next, again and again, whatever fails in between; now and then undo, or walk away from a ticket."""
    chance = random.Random(number)
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=10) as client:
        while left():
            try:
                to = (await client.get("/api/next")).json().get("next", "/queue")
                if not to.startswith("/tickets/"):
                    await asyncio.sleep(0.3)
                    continue
                ticket = (await client.get(f"/api{to}")).json()
                if not ticket.get("mine"):
                    continue
                if chance.random() < 0.02:
                    seen["walked away"] += 1
                    seen["stuck"] += await stays_claimed(claims, ticket["review_id"], ticket["claim"])
                    continue
                body = {"review_id": ticket["review_id"], "label": chance.choice(LABELS)}
                answer = await client.post("/api/decide", json=body)
                seen[str(answer.status_code)] += 1
                if answer.status_code == 200 and chance.random() < 0.02:
                    undone = await client.post("/api/undo", json={"review_id": ticket["review_id"]})
                    seen["undone"] += undone.status_code == 200
            except (httpx.HTTPError, ValueError, KeyError):
                seen["no answer"] += 1
                await asyncio.sleep(0.2)


async def stays_claimed(claims: Claims, review_id: str, claim: dict[str, int]) -> bool:
    """Leave a ticket open until the claim on it should have ended, and return whether it has not."""
    left_s = claim["until_ms"] / 1000 - time.time()
    if left_s > _LEASE_S + 1:
        return True
    await asyncio.sleep(left_s)
    while True:
        now = time.time_ns() // 1_000_000
        try:
            held = (await asyncio.to_thread(claims.held, [review_id], now)).get(review_id)
        except HedgerowError:
            await asyncio.sleep(0.2)  # the store was killed
        else:
            return held is not None and held.since_ms < claim["until_ms"]


async def team(
    url: str | None, count: int, people: int, kills: int, kill_store: Callable[[], Awaitable[None]] | None
) -> bool:
    """Let a team decide everything while the desk is killed, and say whether each ticket was decided and routed once."""
    with tempfile.TemporaryDirectory(prefix="hedgerow-desk-") as home:
        folder = Path(home)
        async with EmbeddedBroker() as broker:
            settings, tokens = prepared(folder, url or f"sqlite:///{folder / 'reviews.db'}", broker.bootstrap, people)
            await create_topics(settings.broker.connection, prefix=settings.topics.prefix, partitions=1, replication=1)
            store = ReviewStore(settings.review.url)
            fill(store, count)
            seen: Counter[str] = Counter()
            claims = Claims(store.database)
            began = time.monotonic()
            port = 18_080
            address = f"http://127.0.0.1:{port}"
            waiting = count

            def left() -> bool:
                return waiting > 0 and time.monotonic() - began < _TEAM_S

            async def watch() -> None:
                nonlocal waiting
                done = 0
                while left():
                    async with desk(folder / "hedgerow.yaml", port) as process:
                        while left() and (done >= kills or count - waiting < count * (done + 1) / (kills + 1)):
                            await asyncio.sleep(0.5)
                            try:
                                counts = await asyncio.to_thread(store.counts)
                                waiting = counts.waiting + await asyncio.to_thread(pending, store)
                            except Exception as error:  # noqa: BLE001 - the store was killed
                                print(f"the store does not answer: {type(error).__name__}", flush=True)
                        if left():
                            done += 1
                            if kill_store is not None:
                                await kill_store()
                            await process.kill()
                            print(f"killed at {count - waiting} of {count}", flush=True)

            async with asyncio.TaskGroup() as group:
                group.create_task(watch())
                for number in range(people):
                    group.create_task(reviewer(number, address, tokens[number], left, seen, claims))
            routed = [
                result
                async for result in messages_there(Routed, settings.broker.connection, prefix=settings.topics.prefix)
            ]
            unsent = store.unsent()
            decided = {item.review.ticket_id: item.decision for item in store.each() if item.decision is not None}
            once = Counter(
                result.ticket_id for result in {(r.ticket_id, r.label, r.reviewer): r for r in routed}.values()
            )
            wrong = [
                result.ticket_id
                for result in routed
                if (decision := decided.get(result.ticket_id)) is None or decision.verdict.label != result.label
            ]
            print(f"answers: {dict(seen)}; {time.monotonic() - began:.0f} s; desk killed {kills} times")
            print(
                f"decided {len(decided)} of {count}, routed {len(once)}, with two different results "
                f"{sum(n > 1 for n in once.values())}, other than stored {len(wrong)}, left to send {len(unsent)}"
            )
            print(
                f"claims that nobody ended: {seen['walked away']}, longer than their lease of {_LEASE_S} s: {seen['stuck']}"
            )
            store.close()
            complete = len(decided) == len(once) == count and not wrong and not unsent and max(once.values()) == 1
            return complete and not seen["stuck"]


def pending(store: ReviewStore) -> int:
    """Return how many decisions are to be sent; those that can be undone still count as one."""
    return len(store.unsent()) + (store.next_due_ms() is not None)


def prepared(folder: Path, url: str, bootstrap: str, people: int, *, users: bool = True) -> tuple[Settings, list[str]]:
    """Write settings and a users file into the folder; return the settings and a token for each reviewer.

    Without ``users`` nobody logs in.
    """
    file = folder / "users.yaml"
    set_user(file, "nobody", User(role=Role.REVIEWER))
    tokens = [add_token(file, f"reviewer-{number}", Role.REVIEWER) for number in range(people)]
    tier = {"base_url": "http://127.0.0.1:1/v1", "model": "gpt-4o-mini"}
    values = {
        "broker": {"bootstrap": bootstrap},
        "topics": {"prefix": "desk.", "partitions": 1},
        "labels": list(LABELS),
        "tiers": {"cheap": tier, "big": tier},
        "messages": {"write": 2},
        "review": {"url": url},
        "desk": {
            "users": str(file) if users else None,
            "undo_s": 2,
            "claim_minutes": _LEASE_S / 60,
            "skip_minutes": 0.1,
        },
    }
    (folder / "hedgerow.yaml").write_text(yaml.safe_dump(values))
    return check_settings(values, "benchmark"), tokens


def main(arguments: Iterable[str] | None = None) -> int:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pages", "browser", "team"])
    parser.add_argument("--reviews", type=int)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--url", help="the store (default: SQLite in a folder that is thrown away)")
    parser.add_argument("--postgres", action="store_true", help="a PostgreSQL of its own, killed with the desk in team")
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    if chosen.what == "browser":
        asyncio.run(browse(chosen.reviews or 1_000))
        return 0
    if chosen.what == "pages":
        if chosen.postgres:
            from tests.support.postgres import postgres, programs

            found = programs()
            assert found is not None, "PostgreSQL is not installed"
            with postgres(found) as url:
                measure(url, chosen.reviews or 1_000_000)
            return 0
        with tempfile.TemporaryDirectory(prefix="hedgerow-desk-") as home:
            measure(chosen.url or f"sqlite:///{home}/reviews.db", chosen.reviews or 1_000_000)
        return 0
    if chosen.postgres:
        return killed_postgres(chosen.reviews or 5_000, chosen.people, chosen.kills)
    return 0 if asyncio.run(team(chosen.url, chosen.reviews or 5_000, chosen.people, chosen.kills, None)) else 1


def killed_postgres(count: int, people: int, kills: int) -> int:
    """Run the team on a PostgreSQL that is killed, all its processes at once, and started again on its data."""
    from benchmarks.killable_postgres import KillablePostgres

    with KillablePostgres() as server:

        async def kill() -> None:
            await asyncio.to_thread(server.kill_and_start)

        return 0 if asyncio.run(team(server.url, count, people, kills, kill)) else 1


if __name__ == "__main__":
    sys.exit(main())
