"""Bodies of tokens that are no whole characters, which real tokenizers have and trained classifiers do not."""

from __future__ import annotations

import orjson

from streams.core.signal.prompt_logprobs import read_prompt
from streams.sandbox.model_server.tokens import Answer, GeneratedToken
from streams.sandbox.model_server.wire import EchoedToken, Envelope, Spoken, by_text, chat_body, completion_body

ENVELOPE = Envelope("id", 0, "m")
FIRST, SECOND = (part.decode("utf-8", "surrogateescape") for part in (b"caf\xc3", b"\xa9"))
ANSWER = Answer(
    (GeneratedToken(FIRST, -1.0, ((FIRST, -1.0), ("tea", -2.0))), GeneratedToken(SECOND, -0.5, ((SECOND, -0.5),))),
    cut=False,
)


def test_chat_tokens_give_their_bytes_where_text_cannot() -> None:
    body = orjson.loads(orjson.dumps(chat_body(ENVELOPE, Spoken(ANSWER, 7, 3, cached_tokens=5), logprobs=True)))
    choice = body["choices"][0]
    assert choice["message"]["content"] == "caf\u00e9"
    assert [entry["token"] for entry in choice["logprobs"]["content"]] == ["caf\ufffd", "\ufffd"]
    assert [entry["bytes"] for entry in choice["logprobs"]["content"]] == [list(b"caf\xc3"), [0xA9]]
    assert body["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 5},
    }


def test_legacy_tokens_are_escaped_as_openai_does_and_read_back() -> None:
    echoed = (EchoedToken("a ", None, None), EchoedToken(FIRST, -3.0, {FIRST: -3.0}), EchoedToken(SECOND, -4.0, {}))
    spoken = Spoken(Answer((), cut=True), 3, 0, echoed=echoed)
    body = orjson.loads(orjson.dumps(completion_body(ENVELOPE, [("a café", spoken)], echo=True, logprobs=True)))
    logprobs = body["choices"][0]["logprobs"]
    assert body["choices"][0]["text"] == "a caf\u00e9"
    assert logprobs["tokens"] == ["a ", "bytes:\\x63\\x61\\x66\\xc3", "bytes:\\xa9"]
    assert logprobs["top_logprobs"][1] == {"bytes:\\x63\\x61\\x66\\xc3": -3.0}
    assert read_prompt(body, "a caf\u00e9") == (-3.0, -4.0)


def test_of_tokens_that_look_the_same_the_likeliest_counts() -> None:
    assert by_text([("", -1.0), ("x", -2.0), ("", -3.0)]) == {"": -1.0, "x": -2.0}
