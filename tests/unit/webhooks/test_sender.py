"""One webhook: what is posted, how it is signed, what is tried again, and that nothing of it stops anybody."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import stamina
import structlog

from streams.errors import SettingsError
from streams.webhooks.notice import of_alert
from streams.webhooks.sender import WebhookSender
from streams.webhooks.signature import headers
from streams.webhooks.webhook import Webhook
from tests.support.messages import alert

SECRET = "a secret of some length"
NOTICE = of_alert(alert(summary="cheap <does> not & answer"))


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    stamina.set_testing(True, attempts=5, cap=True)
    yield
    stamina.set_testing(False)


class Receiver:
    """Answers with the statuses in turn, the last for ever; an exception is raised."""

    def __init__(self, *replies: int | Exception, **webhook: Any) -> None:
        self.replies = list(replies)
        self.requests: list[httpx.Request] = []
        self.outcomes: list[tuple[str, str]] = []
        self.webhook = Webhook(**({"name": "hook", "url": "https://hooks.test/x?key=hidden"} | webhook))

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply, headers={"location": "https://elsewhere.test"})

    async def send(self) -> bool:
        transport = httpx.MockTransport(self.answer)
        sent: Callable[[str, str], None] = lambda name, outcome: self.outcomes.append((name, outcome))  # noqa: E731
        async with WebhookSender(self.webhook, sent, transport=transport, wall_s=lambda: 1_700_000_000.9) as sender:
            return await sender.send(NOTICE)


async def test_an_alert_is_posted_as_json_with_its_type_and_time() -> None:
    receiver = Receiver(204)
    assert await receiver.send()
    (request,) = receiver.requests
    body = json.loads(request.content)
    assert body.keys() == {"type", "timestamp", "data"}
    assert (body["type"], body["data"]["summary"]) == ("alert", "cheap <does> not & answer")
    assert body["timestamp"].endswith("+00:00")
    assert "webhook-signature" not in request.headers
    assert receiver.outcomes == [("hook", "ok")]


async def test_slack_gets_one_line_with_its_own_escapes() -> None:
    receiver = Receiver(200, shape="slack")
    await receiver.send()
    body = json.loads(receiver.requests[0].content)
    assert body.keys() == {"text"}
    assert "cheap &lt;does&gt; not &amp; answer" in body["text"]


async def test_a_post_is_signed_over_id_time_and_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    receiver = Receiver(503, 204, secret_env="HOOK_SECRET")
    await receiver.send()
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == NOTICE.message_id
    assert second.headers["webhook-timestamp"] == "1700000000"
    signed = f"{NOTICE.message_id}.1700000000.".encode() + second.content
    expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert second.headers["webhook-signature"] == f"v1,{expected}"


def test_the_conventions_own_example_has_its_signature() -> None:
    signed = headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    )
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("failure", [429, 500, 503, 408, httpx.ConnectError("x"), httpx.ReadTimeout("x")])
async def test_what_may_pass_is_tried_again_and_then_given_up(failure: int | Exception) -> None:
    receiver = Receiver(failure, failure, 200)
    assert await receiver.send()
    assert len(receiver.requests) == 3
    receiver = Receiver(failure, attempts=4)
    with structlog.testing.capture_logs() as lines:
        assert not await receiver.send()
    assert len(receiver.requests) == 4
    assert receiver.outcomes == [("hook", "unavailable")]
    # A process that has configured its log has none of stamina's lines.
    (said,) = (line for line in lines if not line["event"].startswith("stamina"))
    assert (said["event"], said["notice"]) == ("a webhook failed", NOTICE.line)
    assert "hidden" not in str(said)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410])
async def test_a_refusal_is_final_and_a_redirect_is_one(status: int) -> None:
    receiver = Receiver(status)
    assert not await receiver.send()
    assert len(receiver.requests) == 1
    assert receiver.outcomes == [("hook", "refused")]


class TestSettings:
    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"name": "a"}, "one of url and url_env"),
            ({"name": "a", "url": "https://a.test", "url_env": "U"}, "one of url and url_env"),
            ({"name": "a", "url": "ftp://a.test"}, "url"),
            ({"name": "a b", "url": "https://a.test"}, "name"),
            ({"name": "a", "url": "https://a.test", "about": []}, "about"),
            ({"name": "a", "url": "https://a.test", "secret": "x"}, "secret"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, values: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            Webhook(**values)

    def test_url_and_secret_come_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        webhook = Webhook(name="a", url_env="HOOK_URL", secret_env="HOOK_SECRET")
        for name, value, words in [
            ("HOOK_URL", "", "HOOK_URL is empty"),
            ("HOOK_URL", "nonsense", "no http or https URL"),
            ("HOOK_URL", "https://hooks.test/x", "HOOK_SECRET is empty"),
            ("HOOK_SECRET", "short", "16 characters"),
            ("HOOK_SECRET", "whsec_" + "A" * 20, "16 characters"),
            ("HOOK_SECRET", "whsec_not base64, as copied", "HOOK_SECRET: what follows whsec_ is no base64"),
            ("HOOK_SECRET", "whsec_" + "A" * 33, "HOOK_SECRET: what follows whsec_ is no base64"),
        ]:
            monkeypatch.setenv(name, value)
            with pytest.raises(SettingsError, match=words):
                WebhookSender(webhook)
        monkeypatch.setenv("HOOK_SECRET", SECRET)
        WebhookSender(webhook)

    def test_no_repr_shows_a_url(self) -> None:
        assert "hidden" not in repr(Receiver(200).webhook)
