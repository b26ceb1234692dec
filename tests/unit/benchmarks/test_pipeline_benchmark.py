"""What the pipeline benchmark makes of its measurements, and the model server that it measures against."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from benchmarks.pipeline.hops import hops
from benchmarks.pipeline.model_server import Connection, canned
from benchmarks.pipeline.outcomes import Outcomes
from benchmarks.pipeline.profile import shares
from benchmarks.pipeline.report import BARS, Raw, not_met, report
from benchmarks.pipeline.tickets import texts, tickets
from streams.sandbox.model_server.served import CHEAP

FIGURES = {
    "tickets_per_second", "tickets_per_cpu_second", "ratio_vs_handwritten", "ratio_vs_quixstreams", "share_of_latency_limit",
    "p50_overhead_ms", "p99_overhead_ms", "p50_half_limit_ms", "p99_half_limit_ms", "p50_quiet_ms", "p99_quiet_ms",
    "p50_bare_ms", "p99_bare_ms", "scale_2_workers", "memory_cpu_ratio", "memory_p50_added_ms", "rss_mb_start", "rss_mb_end",
}  # fmt: skip


def throughput(per_second: float) -> dict[str, Any]:
    return {
        "tickets_per_second": per_second, "tickets_per_cpu_second": 2 * per_second, "rss_mb_start": 90.0, "rss_mb_end": 100.0,
    }  # fmt: skip


def test_the_report_holds_medians_and_ratios_of_medians() -> None:
    raw = Raw(
        throughput={
            "ours": [throughput(n) for n in (600, 900, 800)],
            "by_hand": [throughput(n) for n in (400, 300, 500)],
        },
        share={"ours": [0.9]},
        overhead={
            "ours": [{"p50_ms": 5.0, "p99_ms": 15.0}, {"p50_ms": 7.0, "p99_ms": 35.0}],
            "ours_half_limit": [{"p50_ms": 4.0, "p99_ms": 11.0}],
            "ours_quiet": [{"p50_ms": 3.0, "p99_ms": 9.0}],
            "bare": [{"p50_ms": 1.0, "p99_ms": 4.0}],
        },
        scale=[1.95],
        memory=[{"cpu_ratio": ratio, "p50_added_ms": 9.0} for ratio in (1.0, 1.3, 1.2)],
    )
    figures = report(raw, 4000, 3)
    assert figures.keys() >= FIGURES
    assert (figures["tickets_per_second"], figures["ratio_vs_handwritten"]) == (800, 2.0)
    assert figures["ratio_vs_quixstreams"] is None
    assert (figures["p50_overhead_ms"], figures["p99_overhead_ms"]) == (6.0, 25.0)
    assert (figures["p50_half_limit_ms"], figures["p99_half_limit_ms"]) == (4.0, 11.0)
    assert (figures["p50_quiet_ms"], figures["p99_quiet_ms"]) == (3.0, 9.0)
    assert (figures["p50_bare_ms"], figures["p99_bare_ms"]) == (1.0, 4.0)
    assert (figures["rss_mb_start"], figures["rss_mb_end"]) == (90.0, 100.0)
    assert [line.split()[0] for line in figures["bars_not_met"]] == [
        "share_of_latency_limit",
        "p99_overhead_ms",
        "memory_cpu_ratio",
    ]


def test_a_soak_gives_the_memory_figures() -> None:
    figures = report(Raw(soak={"rss_mb_start": 80.0, "rss_mb_end": 81.0}), 1, 1)
    assert (figures["rss_mb_start"], figures["rss_mb_end"]) == (80.0, 81.0)


@pytest.mark.parametrize("name", BARS)
def test_a_bar_is_met_exactly_and_missed_on_its_bad_side(name: str) -> None:
    sign, bar = BARS[name]
    met: dict[str, float | None] = dict.fromkeys(BARS) | {name: bar}
    assert not_met(met) == []
    assert len(not_met(met | {name: bar - 0.1 if sign == ">=" else bar + 0.1})) == 1


def test_a_profile_counts_the_innermost_frame_and_every_part_on_the_way() -> None:
    lines = [
        "main (asyncio/a.py:1);ask (streams/models/classifier.py:5);score (streams/core/signal/score.py:9) 3",
        "gc (x.py:1) 1",
    ]
    found = shares(lines)
    assert found["streams.core"] == {"self": 0.75, "through": 0.75}
    assert found["streams.models"] == {"self": 0.0, "through": 0.75}
    assert found["other"] == {"self": 0.25, "through": 0.25}


def test_hops_are_from_one_topic_to_the_next_less_the_model() -> None:
    sent = {
        "tickets": {"a": 0, "b": 10, "straight": 20},
        "classifications": {"a": 25, "b": 31},
        "escalations": {"b": 40, "straight": 22},
        "routed": {"a": 29, "straight": 47},
        "reviews": {"b": 65},
    }
    found = hops(sent, ["a", "b", "straight"], 20.0)
    assert {name: hop["p50_ms"] for name, hop in found.items()} == {"classify": 3.0, "score": 6.5, "escalate": 5.0}
    assert found["classify"]["p99_ms"] == pytest.approx(4.96)


def test_tickets_have_ids_of_their_own() -> None:
    count = len(texts()) + 5
    assert len({ticket.ticket_id for ticket in tickets(count)}) == count


async def test_only_the_first_outcome_of_a_ticket_counts() -> None:
    outcomes = Outcomes()
    routed = {"ticket_id": "a", "decided_by": "big", "calls": [{}, {}]}
    outcomes.see("routed", routed, 1.0)
    outcomes.see("routed", routed, 2.0)
    outcomes.see("reviews", {"ticket": {"ticket_id": "b"}, "calls": [{}, {}]}, 3.0)
    assert outcomes.routes == {"big": 1, "reviews": 1}
    assert (outcomes.tickets["a"].at, outcomes.tickets["a"].calls, outcomes.repeated) == (1.0, 2, 1)
    await outcomes.until(2, 1.0)
    with pytest.raises(TimeoutError):
        await outcomes.until(3, 0.0)


class Written(asyncio.Transport):
    def __init__(self) -> None:
        self.data = asyncio.Queue[bytes]()

    def write(self, data: Any) -> None:
        self.data.put_nowait(bytes(data))

    def is_closing(self) -> bool:
        return False


async def test_a_canned_answer_comes_for_a_request_in_pieces_and_for_the_next_one() -> None:
    asked = texts()[:2]
    answers = await canned(asked)
    transport = Written()
    connection = Connection(answers)
    connection.connection_made(transport)
    for text in asked:
        body = orjson.dumps({"model": CHEAP, "messages": [{"role": "user", "content": text}]})
        request = b"POST /1/v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        connection.data_received(request[:60])
        connection.data_received(request[60:])
        answer = await transport.data.get()
        assert answer == answers[CHEAP, text]
        choice = orjson.loads(answer.partition(b"\r\n\r\n")[2])["choices"][0]
        assert len(choice["logprobs"]["content"][0]["top_logprobs"]) == 20


async def test_what_nobody_canned_is_not_found() -> None:
    transport = Written()
    connection = Connection({})
    connection.connection_made(transport)
    connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert (await transport.data.get()).startswith(b"HTTP/1.1 404")
