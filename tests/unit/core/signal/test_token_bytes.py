"""Tokens as their vocabulary spells them: decoded in the same way for the answer, its tokens and its alternatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from benchmarks.fuzz.answers import byte_level, sentence_piece
from schemas.signal import Reason, Scored, Unscorable
from streams.core.signal.labels import LabelSet
from streams.core.signal.score import Reading, score
from streams.core.signal.token_bytes import clean, from_byte_level, piece
from tests.support import bodies
from tests.support.bodies import Body, Tok

LABELS = LabelSet(["refund", "billing", "退款", "物流", "Rückgabe"])


def hex_bytes(text: str) -> str:
    return "".join(f"<0x{byte:02X}>" for byte in text.encode())


@pytest.mark.parametrize("text", [" billing", "\n退款", "Rückgabe", " été", "a\tb ", "物"])
def test_the_byte_level_alphabet_is_decoded(text: str) -> None:
    assert from_byte_level(byte_level(text)) == text


@pytest.mark.parametrize("text", ["billing", "", "退款", "naïve 退", "é\x00"])
def test_a_text_that_is_not_in_the_alphabet_is_left_alone(text: str) -> None:
    assert from_byte_level(text) is None


def test_bytes_that_stand_for_control_characters_are_no_text() -> None:
    assert from_byte_level("ġā") is None


@pytest.mark.parametrize(
    ("token", "raw", "text"),
    [
        ("Ġbilling", list(b" billing"), " billing"),
        ("Ġbilling", None, "Ġbilling"),  # whether it is in that alphabet, only its neighbours tell
        ("Ġbilling", list("Ġbilling".encode()), "Ġbilling"),
        ("éĢĢ", list("退".encode()), "退"),
        ("▁billing", None, " billing"),
        ("<0xE9>", None, "\uefe9"),
        ("<0x0A>", None, "\n"),
        ("<0xE9><0x80><0x80>", None, "退"),
        ("\\xe9\\x80", [233, 128], "\uefe9\uef80"),
        ("\\xe9\\x80", None, "\uefe9\uef80"),
        (" \\xe9\\x80", [32, 233, 128], " \uefe9\uef80"),
        ("bytes:\\xe2", None, "\uefe2"),
        ("\\x is no byte", None, "\\x is no byte"),
        ("é", list("é".encode()), "é"),
    ],
)
def test_a_piece_is_what_the_response_says_of_it(token: str, raw: Any, text: str) -> None:
    assert piece(token, raw) == text


def test_a_text_of_hexadecimal_bytes_is_decoded() -> None:
    assert clean("a<0xE9><0x80><0x80>b<0x>") == "a退b<0x>"


def spelled(body: Body, spell: Callable[[str], str], *, content: bool, raw: str) -> Reading:
    """Spell a chat body's tokens, and its content too if asked; ``raw`` says what their bytes are."""
    for entry in body["choices"][0]["logprobs"]["content"]:
        for one in (entry, *entry["top_logprobs"]):
            text = one["token"]
            one["token"] = spell(text)
            one["bytes"] = {"right": list(text.encode()), "of the spelling": list(spell(text).encode())}.get(raw)
    if content:
        message = body["choices"][0]["message"]
        message["content"] = spell(message["content"])
    return score(body, LABELS)


@pytest.mark.parametrize("raw", ["right", "of the spelling", "missing"])
@pytest.mark.parametrize("content", [True, False])
@pytest.mark.parametrize("spell", [byte_level, sentence_piece, hex_bytes])
@pytest.mark.parametrize("label", ["refund", "退款", "Rückgabe"])
def test_every_spelling_gives_the_same_signal(label: str, spell: Callable[[str], str], content: bool, raw: str) -> None:
    others = {" billing": 0.1, " 物流": 0.06, " pizza": 0.03}
    tokens = [Tok("<think>", 0.9, {"x": 0.05}), Tok(label, 0.99, {"x": 0.005}), Tok("</think>", 0.9, {"x": 0.05})]
    for thought in ([], tokens):
        plain = score(bodies.chat([*thought, Tok(f" {label}", 0.8, others)]), LABELS).signal
        assert isinstance(plain, Scored)
        assert plain.confidence == pytest.approx(0.8)
        if spell is hex_bytes and thought:
            continue  # a marker is no byte
        body = bodies.chat([*thought, Tok(f" {label}", 0.8, others)])
        read = spelled(body, partial(_around, spell=spell), content=content, raw=raw)
        assert read.signal == plain


def _around(text: str, *, spell: Callable[[str], str]) -> str:
    """Spell a text but for the markers in it."""
    for marker in ("<think>", "</think>"):
        if marker in text:
            return marker.join(_around(part, spell=spell) for part in text.split(marker))
    return spell(text)


def test_rivals_in_another_spelling_than_the_answer_count() -> None:
    signal = score(bodies.chat([Tok("refund", 0.66, {"Ġbilling": 0.17, "ĠéĢĢæ¬¾": 0.16}, listed=False)]), LABELS).signal
    assert isinstance(signal, Scored)
    assert signal.label_probs["billing"] == pytest.approx(0.17 / 0.99)
    assert signal.label_probs["退款"] == pytest.approx(0.16 / 0.99)
    assert signal.entropy > 0.8
    again = score(bodies.chat([Tok("refund", 0.9, {"Ġrefund": 0.05, "Ġbilling": 0.03})]), LABELS).signal
    assert isinstance(again, Scored)
    assert again.confidence == pytest.approx(0.95)


def test_a_label_is_not_taken_for_a_spelling() -> None:
    labels = LabelSet(["Ġbir", "ġnejn", "éĢĢ"])
    for label in labels:
        signal = score(bodies.chat([Tok(label, 0.9, {"x": 0.05})]), labels).signal
        assert isinstance(signal, Scored)
        assert signal.label == label


def test_what_cannot_be_read_or_begins_no_label_is_doubt() -> None:
    body = bodies.chat([Tok("refund", 0.66, {"pizza": 0.17, "\ufffd": 0.16})])
    signal = score(body, LABELS).signal
    assert isinstance(signal, Scored)
    assert signal.entropy == 0, "of the labels alone"
    shares = (0.66 / 0.99, 0.33 / 0.99)
    assert signal.decision_entropy == pytest.approx(-sum(share * math.log(share) for share in shares))
    assert signal.decides == signal.decision_entropy
    older = signal.model_copy(update={"decision_entropy": None})
    assert older.decides == pytest.approx(signal.decision_entropy), "of messages written before"


def test_alternatives_that_cannot_be_read_at_all_are_no_signal() -> None:
    for text in ("\ufffd", "token_id:7"):
        assert reason(bodies.chat([Tok("refund", 0.66, {text: 0.3})], text="refund"), text) is Reason.UNREADABLE_TOKENS


def reason(body: Body, unnamed: str = "") -> Reason | str:
    for entry in body["choices"][0]["logprobs"]["content"]:
        for one in (entry, *entry.get("top_logprobs", ())):
            if one["token"] == unnamed:
                one["bytes"] = None
    signal = score(body, LABELS).signal
    assert isinstance(signal, Unscorable), signal
    return signal.reason


def half(token: str, p: float, raw: list[int]) -> Body:
    return {"token": token, "logprob": math.log(p), "bytes": raw}


def chinese(first: Body, *rest: Body) -> Body:
    body = bodies.chat([], text="退款")
    body["choices"][0]["logprobs"] = {"content": [first, *rest]}
    return body


WHOLE = half("退", 0.9, [233, 128, 128])
LOST = half("\ufffd", 0.99, [239, 191, 189]) | {"top_logprobs": []}


def test_tokens_behind_the_one_that_decides_may_be_lost() -> None:
    body = chinese(WHOLE | {"top_logprobs": [WHOLE, half("物", 0.05, [231, 137, 169])]}, LOST, LOST)
    signal = score(body, LABELS).signal
    assert isinstance(signal, Scored)
    assert signal.confidence == pytest.approx(0.9)
    lost = LOST | {"top_logprobs": [half("物", 0.005, [231, 137, 169])]}
    assert reason(chinese(lost, LOST)) is Reason.UNREADABLE_TOKENS
    body = chinese(WHOLE | {"top_logprobs": [WHOLE, half("物", 0.05, [231, 137, 169])]}, LOST, WHOLE)
    assert reason(body) is Reason.MISALIGNED, "what is left does not fit"


def test_the_written_token_may_be_listed_as_one_that_was_lost() -> None:
    listed = [half("\ufffd", 0.9, [239, 191, 189]), half("物", 0.05, [231, 137, 169])]
    signal = score(chinese(WHOLE | {"top_logprobs": listed}, half("款", 0.99, [230, 172, 190])), LABELS).signal
    assert isinstance(signal, Scored)
    assert signal.confidence == pytest.approx(0.9)
    assert signal.top_k_mass == pytest.approx(0.95)


def test_bytes_that_go_on_inside_a_character_are_no_alternatives_of_a_whole_one() -> None:
    listed = [half("\ufffd", 0.9, [128]), half("\ufffd", 0.05, [129])]
    body = chinese(WHOLE | {"top_logprobs": listed}, half("款", 0.99, [230, 172, 190]))
    assert reason(body) is Reason.UNREADABLE_TOKENS


def test_characters_that_tokens_cut_through_are_put_together() -> None:
    first = half("\\xe9\\x80", 0.88, [233, 128])
    body = chinese(
        first
        | {"top_logprobs": [first, half("物流", 0.06, list("物流".encode())), half("账", 0.04, list("账".encode()))]},
        half("\\x80", 0.99, [128]) | {"top_logprobs": []},
        half("款", 0.99, list("款".encode())) | {"top_logprobs": []},
    )
    signal = score(body, LABELS).signal
    assert isinstance(signal, Scored)
    assert (signal.label, signal.confidence) == ("退款", pytest.approx(0.88))
    assert signal.label_probs["物流"] == pytest.approx(0.06 / 0.94)


def lone(p: float, floor: Any = -9999.0) -> Body:
    body = bodies.chat([Tok("refund", p)])
    body["choices"][0]["logprobs"]["content"][0]["top_logprobs"] += [
        {"token": label, "logprob": floor} for label in ("billing", "退款")
    ]
    return body


def test_a_lone_token_that_was_plainly_not_certain_is_scored_with_what_is_shown() -> None:
    signal = score(lone(0.97), LABELS).signal
    assert isinstance(signal, Scored)
    assert (signal.confidence, signal.top_k_mass, signal.k) == (pytest.approx(0.97), pytest.approx(0.97), 1)
    assert signal.decides == 0


@pytest.mark.parametrize("body", [lone(1.0), lone(0.9995), lone(0.97, None), bodies.chat([Tok("refund", 0.97)])])
def test_a_lone_token_is_no_signal_if_it_is_certain_or_nothing_says_what_became_of_the_others(body: Body) -> None:
    assert reason(body) is Reason.NO_ALTERNATIVES
