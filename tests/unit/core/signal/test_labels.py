from __future__ import annotations

import pickle

import pytest

from streams.core.signal.labels import LabelSet, fold
from streams.errors import SettingsError

QUEUES = LabelSet(["account", "cards", "transfers", "topups"])


@pytest.mark.parametrize(
    "text",
    [
        "cards",
        "Cards",
        " cards\n",
        '"cards"',
        "'CARDS'",
        "cards.",
        "**Cards**",
        "`cards`",
        "“cards”!",
        "(cards)",
        "「cards」",
        "【Cards】。",
    ],
)
def test_variants_of_a_label_match(text: str) -> None:
    assert QUEUES.match(text) == "cards"


@pytest.mark.parametrize("text", ["", " ", '"', "card", "cardss", "cards transfers", "my cards", "c ards", "cards-"])
def test_anything_else_does_not_match(text: str) -> None:
    assert QUEUES.match(text) is None


@pytest.mark.parametrize(
    ("text", "owners"),
    [
        ("t", ("transfers", "topups")),
        ("tr", ("transfers",)),
        (" Tr", ("transfers",)),
        ('"TOP', ("topups",)),
        ("topups", ("topups",)),
        ('topups"}', ("topups",)),
        ("topups\n\n", ("topups",)),
        ("topupss", ()),
        ("topups now", ()),
        ("accounts", ()),
        ("", ()),
        (" ", ()),
        ('"', ()),
        ("\n", ()),
        ("x", ()),
    ],
)
def test_owners_are_the_labels_that_begin_with_the_text(text: str, owners: tuple[str, ...]) -> None:
    assert QUEUES.owners(text) == owners


def test_labels_may_hold_spaces_capitals_hyphens_and_accents() -> None:
    names = ["Refund_not_showing_up", "card about-to expire", "Rückgabe", "退款"]
    labels = LabelSet(names)
    assert [labels.match(name.upper()) for name in names] == names
    assert labels.owners("card ") == ("card about-to expire",)
    assert labels.owners("Ru\u0308ckg") == ("Rückgabe",), "both ways to write an accent are one"
    assert labels.owners("refund not") == (), "an underscore is no space"


def test_half_a_character_is_compared_by_its_bytes() -> None:
    labels = LabelSet(["Änderung", "退款", "Übersicht", "物流"])
    assert labels.owners("\uefc3") == ("Änderung", "Übersicht"), "0xC3 begins both"
    assert labels.owners("\uefe9") == ("退款",)
    assert labels.owners("\uefe9\uef80\uef80") == ("退款",)
    assert labels.owners("退\uefe6") == ("退款",)
    assert labels.owners("退\uefff") == ()


def test_every_label_needs_its_own_answer() -> None:
    with pytest.raises(SettingsError, match="2 labels need as many answers, 1 given"):
        LabelSet(["a", "b"], ["x"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "at least two"),
        (["a"], "at least two"),
        (["a", ""], "empty"),
        (["a", " . "], "empty"),
        (["a", 7], "empty"),
        (["a", "a"], "'a' is given twice"),
        (["refund", "Refund "], "differ only in"),
        (["refund", "refund_status"], "'refund' is the beginning of label 'refund_status'"),
        (["top ups", "x", "Top"], "'Top' is the beginning of label 'top ups'"),
        (["a\nb", "c"], "one line"),
        (["a\ud800", "c"], "one line"),
        (["a" * 257, "c"], "one line"),
        ("refund,billing", "must be a list"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(labels: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as refused:
        LabelSet(labels)
    assert "\n" not in str(refused.value)


def test_20_aliases_take_labels_that_begin_one_another() -> None:
    labels = LabelSet.aliased(["refund", "refund_status", "other"])
    assert labels.answers == ("A", "B", "C")
    assert labels.written == {"refund": "A", "refund_status": "B", "other": "C"}
    assert labels.match(" b.") == "refund_status"
    assert labels.match("refund") is None, "the model was asked for a letter"
    assert labels.owners("C") == ("other",)


def test_20_past_26_labels_an_alias_has_two_letters() -> None:
    labels = LabelSet.aliased([f"label {i}" for i in range(77)])
    assert labels.answers[0] == "AA"
    assert labels.answers[76] == "CY"
    assert labels.match("cy") == "label 76"
    with pytest.raises(SettingsError, match="too many"):
        LabelSet.aliased([f"label {i}" for i in range(677)])


def test_a_label_set_is_a_plain_value() -> None:
    assert LabelSet(["a", "b"]) == LabelSet(("a", "b"))
    assert LabelSet(["a", "b"]) != LabelSet(["b", "a"])
    assert hash(LabelSet(["a", "b"])) == hash(LabelSet(["a", "b"]))
    assert pickle.loads(pickle.dumps(QUEUES)).owners("tr") == ("transfers",)
    assert (len(QUEUES), list(QUEUES)) == (4, list(QUEUES.labels))
    with pytest.raises(AttributeError):
        QUEUES.labels = ()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("label", "ways"),
    [
        ("İade", ["İade", "iade", "IADE", "ıade", "i\u0307ade", "I\u0307ADE", "İADE"]),
        ("Kırık", ["kirik", "KIRIK", "KİRİK", "Kırık"]),
        ("refund", ["ｒｅｆｕｎｄ", "ＲＥＦＵＮＤ", "refund\u200e", "\u200frefund"]),
        ("profil", ["proﬁl"]),
        ("Straße", ["STRASSE", "strasse", "straße", "STRAẞE"]),
        ("Φόρος", ["ΦΌΡΟΣ", "φόρος", "φόροσ"]),
        ("Rückgabe", ["RÜCKGABE", "Ru\u0308ckgabe"]),
        ("استرداد", ["استرداد", "«استرداد»؟"]),
        ("वापसी", ["वापसी।"]),
        ("환불", ["환불", "\u1112\u116a\u11ab\u1107\u116e\u11af"]),
        ("ログイン", ["ﾛｸﾞｲﾝ", "「ログイン」。"]),
    ],
)
def test_labels_match_in_any_language(label: str, ways: list[str]) -> None:
    labels = LabelSet([label, "something else"])
    assert [labels.match(way) for way in ways] == [label] * len(ways)
    assert [labels.owners(way) for way in ways] == [(label,)] * len(ways)


@pytest.mark.parametrize(
    "pair", [("İade", "iade"), ("Kırık", "KIRIK"), ("ﬁt", "fit"), ("Straße", "STRASSE"), ("Ａ", "a")]
)
def test_labels_that_are_one_in_another_spelling_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(SettingsError, match="the way a character is written"):
        LabelSet(pair)


def test_half_a_character_of_any_spelling_belongs_to_its_label() -> None:
    labels = LabelSet(["İade", "Fatura"])
    assert labels.owners("\uefc4") == ("İade",), "the first byte of İ"
    assert LabelSet(["été", "fatura"]).owners("\uefc3") == ("été",)
    assert LabelSet(["Été", "fatura"]).owners("\uefc3") == ("Été",)


def test_a_letter_may_come_before_its_accent() -> None:
    labels = LabelSet(["réclamation", "remboursement"])
    assert labels.owners("re") == ("réclamation", "remboursement")
    assert labels.owners("re\u0301") == labels.owners("ré") == ("réclamation",)


def test_folding_twice_is_folding_once() -> None:
    for text in ("ı\u0302x", "İ\u0302", "ΐ\u0301", "ﬅ\u0307", "ẞı"):
        assert fold(fold(text)) == fold(text)
    with pytest.raises(SettingsError):
        LabelSet(["ı\u0302x", "îx"])


@pytest.mark.parametrize("label", ["<think>", "[THINK]", "<answer>", "</think> refund", "<tool_call>"])
def test_a_label_that_looks_like_a_marker_is_refused(label: str) -> None:
    with pytest.raises(SettingsError, match="looks like a marker"):
        LabelSet([label, "refund"])


@pytest.mark.parametrize("label", ["<b>", "[urgent] refund", "refund <new>", "a < b", "[x]", " refund "])
def test_a_label_with_brackets_is_a_label(label: str) -> None:
    assert LabelSet([label, "other"]).match(label) == label
