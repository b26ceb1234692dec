"""A secret that is given to Hedgerow turns up nowhere again: not in a repr, an error, a log line, a metric or a message."""

from __future__ import annotations

import io
import logging
import traceback
from pathlib import Path

import httpx
import orjson
import pytest
import structlog
from prometheus_client import generate_latest

from schemas import Call
from streams.core.signal.redaction import Redaction
from streams.errors import HedgerowError
from streams.kafka.producers import start_producer
from streams.models.classifier import ModelClient
from streams.observability.logs import configure_logging
from streams.observability.metrics import MetricsObserver
from streams.prober.probing import Probing
from streams.reviews.store import ReviewStore
from streams.sandbox.ports import ReservedPort
from streams.settings import Settings, check_settings
from streams.worker.worker import Worker
from tests.support.messages import probe

API_KEY = "sk-canary-0123456789abcdef"
KAFKA = "canary-of-kafka"
DATABASE = "canary-of-the-database"
CANARIES = (API_KEY, KAFKA, DATABASE)


def assert_clean(*texts: object) -> None:
    for text in texts:
        for canary in CANARIES:
            assert canary not in str(text)
            assert canary not in repr(text)


@pytest.fixture
def log() -> io.StringIO:
    """Everything that is logged, ours and the libraries', at the lowest level."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=written))
    return written


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MODEL_KEY", API_KEY)
    monkeypatch.setenv("KAFKA_PASSWORD", KAFKA)
    tier = {"base_url": "http://model.test/v1", "model": "gpt-4o-mini", "api_key_env": "MODEL_KEY", "attempts": 1}
    with ReservedPort() as port:
        broker = f"127.0.0.1:{port.number}"
    security = {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "username": "score"}
    return check_settings(
        {
            "labels": ["refund", "shipping"],
            "tiers": {"cheap": tier, "big": tier},
            "broker": {"bootstrap": broker, "security": security},
            "review": {"url": f"postgresql+psycopg://hedgerow:{DATABASE}@127.0.0.1:1/reviews?password={DATABASE}"},
            "endpoints": [{"name": "mini", **tier}],
        },
        "x",
    )


def test_no_repr_holds_one(settings: Settings) -> None:
    tier = settings.tiers.cheap
    connection = settings.broker.connection
    assert_clean(settings, settings.review, tier, tier.api_key(), settings.broker, connection, connection.security)
    assert_clean(settings.broker.model_dump_json(), settings.tiers.model_dump_json())


def test_no_error_of_the_settings_holds_one() -> None:
    for values in (
        {"broker": {"security": {"password": KAFKA, "username": 3}}},
        {"broker": {"security": KAFKA}},
        {"tiers": {"cheap": {"base_url": f"https://{API_KEY}@model.test"}}},
        {"tiers": {"cheap": {"api_key_env": API_KEY}}},
        {"review": {"url": [DATABASE]}},
        {"review": DATABASE},
    ):
        with pytest.raises(HedgerowError) as refused:
            check_settings({"labels": ["a", "b"], **values}, "x")
        assert_clean(refused.value, "".join(traceback.format_exception(refused.value)))


async def test_no_error_of_a_broker_or_a_store_holds_one(settings: Settings, log: io.StringIO) -> None:
    with pytest.raises(HedgerowError) as away:
        await start_producer(settings.broker.connection)
    with pytest.raises(HedgerowError) as gone:
        await Worker(settings, ["score"]).run()
    with pytest.raises(HedgerowError) as closed:
        ReviewStore(settings.review.url).counts()
    for raised in (away, gone, closed):
        assert_clean(raised.value, "".join(traceback.format_exception(raised.value)))
    assert_clean(log.getvalue())


def echo(request: httpx.Request) -> httpx.Response:
    """A server that says back all that it was told, in the body and in the headers."""
    said = f"{request.headers.get('authorization')} {request.content.decode()}"
    body = {"choices": [{"message": {"content": said}}], "model": said, "error": {"message": said}}
    return httpx.Response(STATUS["now"], content=orjson.dumps(body), headers={"x-echo": said.replace("\n", " ")[:200]})


STATUS = {"now": 200}


@pytest.mark.parametrize("status", [200, 400, 401, 404, 422, 429, 500])
async def test_no_message_holds_one_though_the_server_repeats_it(
    settings: Settings, status: int, log: io.StringIO
) -> None:
    STATUS["now"] = status
    said: list[object] = []
    async with ModelClient(
        "cheap", settings.tiers.cheap, settings.label_set, transport=httpx.MockTransport(echo)
    ) as client:
        try:
            call: Call = await client.ask("Where is it?")
            said += [call, call.model_dump_json()]
        except HedgerowError as error:
            said += [error, "".join(traceback.format_exception(error))]
    assert settings.endpoints is not None
    probing = Probing(settings.endpoints.endpoints[0], transport=httpx.MockTransport(echo))
    said += [(await probing.probe(0)).encode()]
    await probing.close()
    assert_clean(*said, log.getvalue())


def test_no_metric_holds_one(settings: Settings) -> None:
    observer = MetricsObserver()
    observer.retried("score", "KafkaConnectionError")
    observer.probed(probe().endpoint, "sample")
    assert settings.review.url
    assert_clean(generate_latest(observer.registry).decode())


@pytest.mark.parametrize("json", [False, True])
def test_a_log_is_redacted_where_that_is_asked_for(
    json: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: tuple[Redaction, ...] = ("email", "card", "phone")
    logging.getLogger().handlers = []
    configure_logging(json=json, redact=asked)
    structlog.get_logger().warning(
        "a handler failed", text="from ann@example.com", exc_info=ValueError("4111 1111 1111 1111")
    )
    logging.getLogger("faust").error("call %s", "+49 30 1234567")
    written = capsys.readouterr().err
    for part in ("[email]", "[card]", "[phone]"):
        assert part in written
    for part in ("ann@", "4111", "1234567"):
        assert part not in written
