"""The numbers of ``Scored``, worked out by hand."""

from __future__ import annotations

import math

import pytest

from schemas.signal import Reason, Scored, Unscorable
from streams.core.signal.labels import LabelSet
from streams.core.signal.score import entropy, score
from tests.support import bodies
from tests.support.bodies import Tok

LABELS = LabelSet(["transfers", "transactions", "topups", "fees"])


def scored(tokens: list[Tok], labels: LabelSet = LABELS, text: str | None = None) -> Scored:
    signal = score(bodies.chat(tokens, text), labels).signal
    assert isinstance(signal, Scored), signal
    return signal


def reason(tokens: list[Tok], labels: LabelSet = LABELS, text: str | None = None) -> Reason:
    signal = score(bodies.chat(tokens, text), labels).signal
    assert isinstance(signal, Unscorable), signal
    return signal.reason


def test_18_case_space_and_quote_variants_are_summed() -> None:
    signal = scored([Tok("fees", 0.5, {" fees": 0.1, "Fees": 0.1, ' "fee': 0.05, "FE": 0.05, "topups": 0.1})])
    assert signal.confidence == pytest.approx(0.8)
    assert signal.label_probs["topups"] == pytest.approx(0.1 / 0.9)


def test_19_only_a_prefix_of_exactly_one_label_counts() -> None:
    tokens = [Tok("fees", 0.4, {"t": 0.1, "tr": 0.1, "to": 0.05, "feesx": 0.05, "fee!": 0.05, "": 0.05, " ": 0.05})]
    signal = scored(tokens)
    assert signal.confidence == pytest.approx(0.4)
    assert signal.label_probs == pytest.approx(
        {"transfers": 0, "transactions": 0, "topups": 0.05 / 0.45, "fees": 0.4 / 0.45}
    )
    assert signal.out_of_label == pytest.approx(0.4), "ambiguous, longer, empty and blank tokens are doubt"


def test_19_an_ambiguous_first_token_is_resolved_along_the_answers_next_tokens() -> None:
    tokens = [
        Tok("trans", 0.8, {"fees": 0.1, "top": 0.05}),
        Tok("fer", 0.7, {"action": 0.2, "it": 0.05}),
        Tok("s", 0.9, {"red": 0.05}),
    ]
    signal = scored(tokens)
    assert signal.confidence == pytest.approx(0.8 * 0.7)
    total = 0.8 * 0.9 + 0.15
    assert signal.label_probs == pytest.approx(
        {"transfers": 0.56 / total, "transactions": 0.16 / total, "topups": 0.05 / total, "fees": 0.1 / total}
    )
    assert signal.top_k_mass == pytest.approx(0.95)
    assert signal.out_of_label == pytest.approx(0.8 * 0.1), "what the next token left open"
    assert signal.token_confidence == pytest.approx(0.8)
    assert signal.min_logprob == pytest.approx(math.log(0.7))


def test_19_a_label_that_stays_ambiguous_for_several_tokens() -> None:
    labels = LabelSet(["card_payment_fee", "card_payment_rate", "card_arrival"])
    tokens = [
        Tok("card", 0.9, {"Card": 0.05}),
        Tok("_pay", 0.8, {"_arr": 0.15}),
        Tok("ment_", 0.95, {"ing": 0.01}),
        Tok("fee", 0.6, {"rate": 0.3, "r": 0.05}),
    ]
    signal = scored(tokens, labels)
    path = 0.9 * 0.8 * 0.95
    assert signal.confidence == pytest.approx(path * 0.6)
    total = path * 0.95 + 0.9 * 0.15
    assert signal.label_probs["card_payment_rate"] == pytest.approx(path * 0.35 / total)
    assert signal.label_probs["card_arrival"] == pytest.approx(0.9 * 0.15 / total)
    assert signal.out_of_label == pytest.approx(0.95 - total), "Card was not written, so nothing is known behind it"


def test_19_an_ambiguous_token_without_a_next_distribution_is_no_signal() -> None:
    assert reason([Tok("trans", 0.8, {"fees": 0.1}), Tok("fers", 0.9)]) is Reason.AMBIGUOUS_LABEL


def test_19_a_token_that_every_label_left_begins_with_may_stand_alone_in_its_list() -> None:
    labels = LabelSet(["card_lost", "card_stolen", "refund"])
    forced = [Tok("card", 0.9, {"refund": 0.06}), Tok("_", 0.99), Tok("lost", 0.7, {"stolen": 0.2})]
    signal = scored(forced, labels)
    assert signal.confidence == pytest.approx(0.9 * 0.99 * 0.7)
    assert signal.label_probs["card_stolen"] == pytest.approx(0.9 * 0.99 * 0.2 / (0.9 * 0.99 * 0.9 + 0.06))
    decides = [Tok("card", 0.9, {"refund": 0.06}), Tok("_", 0.99, {"_st": 0.005}), Tok("lost", 0.99)]
    assert reason(decides, labels) is Reason.AMBIGUOUS_LABEL


def test_21_covered_mass_is_reported_and_an_unlisted_label_gets_nothing() -> None:
    signal = scored([Tok("fees", 0.5, {"pizza": 0.1})])
    assert signal.top_k_mass == pytest.approx(0.6)
    assert signal.confidence == pytest.approx(0.5), "not renormalised: what was not shown is doubt"
    assert signal.label_probs["topups"] == 0
    assert signal.label_probs["fees"] == 1
    assert set(signal.label_probs) == set(LABELS)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["\n"], []),
        ([" ", '"'], ['"']),
        (["```", "json", "\n", '{"', "label", '":', ' "'], ['"}', "\n", "```"]),
        (["<think>", "top", "ups", "?", "</think>", "\n\n"], []),
        (["Label", ":", " "], ["."]),
        ([], ["<|im_end|>"]),
        (["<s>"], ["</s>"]),
    ],
    ids=lambda tokens: "".join(tokens) or "-",
)
def test_13_15_17_the_answer_token_is_found_behind_everything_else(before: list[str], after: list[str]) -> None:
    around = [[Tok(text, 0.99, {"fees": 0.005}) for text in part] for part in (before, after)]
    signal = scored([*around[0], Tok("fe", 0.6, {"top": 0.3}), Tok("es", 0.9, {"e": 0.05}), *around[1]])
    assert signal.label == "fees"
    assert signal.token_confidence == pytest.approx(0.6)
    assert signal.label_probs["topups"] == pytest.approx(1 / 3)
    assert signal.mean_logprob == pytest.approx((math.log(0.6) + math.log(0.9)) / 2), "over the label's tokens only"


def test_15_a_token_that_joins_json_and_label_is_read_behind_the_json() -> None:
    tokens = [Tok('{"label', 0.9), Tok('":"fees', 0.6, {'":"top': 0.2, '": "': 0.1}), Tok('"}', 0.9)]
    signal = scored(tokens)
    assert signal.confidence == pytest.approx(0.6)
    assert signal.label_probs["topups"] == pytest.approx(0.25)
    whole = scored([Tok('{"label": "fees"}', 0.7, {'{"label": "topups"}': 0.2})])
    assert whole.label_probs["topups"] == pytest.approx(0.2 / 0.9)


def test_13_reasoning_that_the_server_cut_from_the_text_may_stay_among_the_tokens() -> None:
    thought = [Tok(text, 0.9, {"x": 0.01}) for text in ("<think>", "fees", "? ", "</think>", "\n")]
    assert scored([*thought, Tok("fees", 0.6, {"top": 0.3})], text="fees").token_confidence == pytest.approx(0.6)
    assert reason([Tok("so: ", 0.9, {"x": 0.01}), Tok("fees", 0.6, {"top": 0.3})], text="fees") is Reason.MISALIGNED


def test_a_text_may_be_stripped_of_the_space_its_tokens_have() -> None:
    assert scored([Tok(" fees", 0.6, {" top": 0.3}), Tok("\n", 0.9)], text="fees").label == "fees"
    assert scored([Tok("▁fees", 0.6, {"▁top": 0.3})], text="fees").label_probs["topups"] == pytest.approx(1 / 3)


def test_the_label_is_the_text_even_where_the_numbers_favour_another() -> None:
    signal = scored([Tok("fees", 0.1, {"topups": 0.7})])
    assert (signal.label, signal.confidence) == ("fees", pytest.approx(0.1))
    assert signal.margin == pytest.approx(0.75)


def test_characters_that_are_split_over_tokens_are_read_by_their_bytes() -> None:
    labels = LabelSet(["退款", "物流"])
    body = bodies.chat([Tok("a", 0.6, {"b": 0.3}), Tok("c", 0.9, {"d": 0.05})], "退款")
    first, second = body["choices"][0]["logprobs"]["content"]
    data = "退款".encode()
    first |= {"token": "bytes:\\xe9\\x80", "bytes": list(data[:2])}
    first["top_logprobs"][0] |= {"token": "bytes:\\xe9\\x80", "bytes": list(data[:2])}
    first["top_logprobs"][1] |= {"token": "<0xE7>", "bytes": None}
    second |= {"token": "\ufffd款", "bytes": list(data[2:])}
    signal = score(body, labels).signal
    assert isinstance(signal, Scored)
    assert (signal.label, signal.confidence) == ("退款", pytest.approx(0.6))
    assert signal.label_probs["物流"] == pytest.approx(1 / 3)
    assert signal.mean_logprob == pytest.approx((math.log(0.6) + math.log(0.9)) / 2)


@pytest.mark.parametrize(
    ("labels", "written", "other"),
    [
        (("invoice", "refund"), "invoice", "I"),
        (("Invoice", "Refund"), "Invoice", "I"),
        (("theft", "refund"), "theft", "The"),
        (("normal", "urgent"), "normal", "No"),
        (("IT support", "Refund"), "IT", " It"),
        (("transfer", "fees"), "transfer", "trans"),
    ],
)
def test_the_beginning_of_another_sentence_counts_for_no_label(
    labels: tuple[str, str], written: str, other: str
) -> None:
    tokens = [Tok(written, 0.6, {other: 0.37})]
    if written == "IT":
        tokens.append(Tok(" support", 0.99, {" Support": 0.01}))
    signal = scored(tokens, LabelSet(labels))
    assert signal.confidence == pytest.approx(0.6)
    assert signal.out_of_label == pytest.approx(0.37)


def test_an_article_is_no_alias() -> None:
    signal = scored([Tok("A", 0.6, {" a": 0.37})], LabelSet.aliased(["refund", "fees"]))
    assert signal.confidence == pytest.approx(0.6)


@pytest.mark.parametrize("other", ["Refund", " Refund", "REFUND", "Ref", 'refund"}', "no"])
def test_another_spelling_of_the_label_counts_for_it(other: str) -> None:
    labels = LabelSet(["refund", "fees"] if other != "no" else ["No", "Yes"])
    signal = scored([Tok("No" if other == "no" else "refund", 0.6, {other: 0.37})], labels)
    assert signal.confidence == pytest.approx(0.97)


def test_20_aliases_are_read_back_as_their_labels() -> None:
    labels = LabelSet.aliased(["refund", "refund_status"])
    signal = scored([Tok(" B", 0.8, {" A": 0.1, " Account": 0.05})], labels)
    assert signal.label == "refund_status"
    assert signal.label_probs == pytest.approx({"refund": 0.1 / 0.9, "refund_status": 0.8 / 0.9})


def test_an_escaped_label_in_json_has_no_token_to_read() -> None:
    labels = LabelSet(["Rückgabe", "fees"])
    tokens = [Tok('{"label":"', 0.9, {"x": 0.01}), Tok("R\\u00fcckgabe", 0.6, {"fees": 0.3}), Tok('"}', 0.9)]
    assert reason(tokens, labels) is Reason.ANSWER_TOKEN_MISSING


def test_an_answer_outside_the_label_set() -> None:
    assert reason([Tok("pizza", 0.9, {"fees": 0.05})]) is Reason.NOT_A_LABEL


@pytest.mark.parametrize("count", [1, 2, 7])
def test_entropy_of_equal_shares_is_the_logarithm_of_their_number(count: int) -> None:
    assert entropy([1 / count] * count) == pytest.approx(math.log(count))
    assert entropy([1.0, 0.0]) == 0.0


@pytest.mark.parametrize(
    ("written", "others", "is_scored"),
    [
        (0.3, {"port": 0.69}, False),
        (1e-4, {"port": 0.99}, False),
        (0.3, {"fund!": 0.6}, True),
        (0.9, {"port": 0.09}, True),
    ],
)
def test_a_label_that_the_model_was_not_about_to_finish_is_none(
    written: float, others: dict[str, float], is_scored: bool
) -> None:
    body = bodies.chat([Tok("re", 0.97, {"bill": 0.02}), Tok("fund", written, others)])
    signal = score(body, LabelSet(["refund", "billing"])).signal
    assert isinstance(signal, Scored) is is_scored
    if not is_scored:
        assert isinstance(signal, Unscorable)
        assert signal.reason is Reason.NOT_A_LABEL
