"""What a worker says about itself: /health and /ready, their status codes, and one line for each stage."""

from __future__ import annotations

import json

import aiohttp

from streams.observability.http import Answer, health, readiness, serve_metrics
from streams.observability.liveness import Standing, State
from streams.observability.metrics import MetricsObserver
from streams.settings import MetricsSettings

AGENTS = ("classify", "score")


async def page(answer: Answer) -> tuple[int, str]:
    async with (
        serve_metrics(MetricsSettings(port=0), MetricsObserver(), {"/page": lambda: answer}) as port,
        aiohttp.request("GET", f"http://127.0.0.1:{port}/page") as response,
    ):
        assert response.content_type == "application/json"
        return response.status, await response.text()


async def test_health_is_200_while_no_stage_stands_still() -> None:
    standings = {"classify": Standing(State.WAITING, 12.34), "score": Standing(State.HELD)}
    status, text = await page(health(AGENTS, standings))
    assert status == 200
    assert json.loads(text) == {
        "ok": True,
        "stages": {"classify": {"state": "waiting", "quiet_s": 12.3}, "score": {"state": "held", "quiet_s": 0.0}},
    }
    assert [line.strip() for line in text.splitlines() if "classify" in line] == [
        '"classify": {"state": "waiting", "quiet_s": 12.3},'
    ]


async def test_health_is_503_once_one_stands_still() -> None:
    status, text = await page(health(AGENTS, {"score": Standing(State.STALLED, 300.0)}))
    assert status == 503
    assert json.loads(text) == {
        "ok": False,
        "stages": {"classify": {"state": "starting"}, "score": {"state": "stalled", "quiet_s": 300.0}},
    }


async def test_ready_is_200_when_every_stage_has_joined() -> None:
    status, text = await page(readiness(AGENTS, AGENTS, {"classify": 4}, {"cheap": "kept"}, broker=None, started=True))
    assert status == 200
    assert json.loads(text) == {
        "ok": True,
        "status": "ready",
        "broker": "answers",
        "endpoints": [],
        "limits": [],
        "paused": {},
        "started": True,
        "contracts": {"cheap": "kept"},
        "stages": {"classify": {"joined": True, "partitions": 4}, "score": {"joined": True, "partitions": 0}},
    }


async def test_ready_is_503_before_the_start_during_a_rebalance_and_while_stopping() -> None:
    for joined, started in [((), False), (("classify",), True), (AGENTS, False)]:
        status, text = await page(readiness(AGENTS, joined, {}, {}, broker=None, started=started))
        assert status == 503
        assert json.loads(text)["ok"] is False


async def test_a_worker_whose_endpoint_does_not_answer_is_ready_and_degraded() -> None:
    status, text = await page(readiness(AGENTS, AGENTS, {}, {}, broker=None, started=True, down=["cheap:model"]))
    assert status == 200
    assert {name: json.loads(text)[name] for name in ("status", "endpoints")} == {
        "status": "degraded",
        "endpoints": ["cheap:model"],
    }


async def test_a_worker_that_has_reached_a_limit_is_ready_and_degraded() -> None:
    status, text = await page(readiness(AGENTS, AGENTS, {}, {}, broker=None, started=True, limits=["spend"]))
    assert status == 200
    assert {name: json.loads(text)[name] for name in ("status", "limits")} == {
        "status": "degraded",
        "limits": ["spend"],
    }


async def test_a_worker_that_is_paused_is_ready_and_says_by_whom_and_why() -> None:
    why = {"classify": "cheap: paused by ann: a new disk"}
    status, text = await page(readiness(AGENTS, AGENTS, {}, {}, broker=None, started=True, paused=why))
    assert status == 200
    assert {name: json.loads(text)[name] for name in ("status", "paused")} == {"status": "paused", "paused": why}


async def test_a_worker_whose_broker_does_not_answer_is_not_ready_and_says_why() -> None:
    status, text = await page(readiness(AGENTS, AGENTS, {}, {}, broker="no Kafka broker", started=True))
    assert status == 503
    assert {name: json.loads(text)[name] for name in ("status", "broker")} == {
        "status": "not ready",
        "broker": "no Kafka broker",
    }
