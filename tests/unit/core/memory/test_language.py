"""Whether texts look English."""

from __future__ import annotations

from streams.core.memory.language import looks_english
from streams.sandbox.model_server.training import read_training_set
from streams.sandbox.tickets import TRAIN

GERMAN = "Ich warte seit zwei Wochen auf meine Lieferung, und die Sendung war in einem so schlechten Zustand."
FRENCH = "Je voudrais savoir pourquoi mon compte est bloqué et comment je peux obtenir un remboursement, merci."
CHINESE = "我的包裹在哪里 我想退款 请帮我重置密码 为什么我的账户被锁定了"


def test_customer_messages_look_english() -> None:
    texts = read_training_set(TRAIN).texts
    assert all(looks_english(texts[start : start + 30]) for start in range(0, 900, 30))


def test_other_languages_do_not() -> None:
    for text in (GERMAN, FRENCH, CHINESE):
        assert looks_english([text] * 30) is False


def test_few_words_say_nothing() -> None:
    assert looks_english(["refund", "login error 403"]) is None
    assert looks_english([]) is None
