"""Thought and answer: which part of a text is the answer, and that the tokens are read by the same grammar."""

from __future__ import annotations

import pytest

from schemas.signal import Reason, Scored, Unscorable
from streams.core.signal import answer_part
from streams.core.signal.labels import LabelSet
from streams.core.signal.score import score
from tests.support import bodies
from tests.support.bodies import Body, Tok

LABELS = LabelSet(["refund", "billing", "shipping", "退款"])
X = {"x": 0.05}
ANSWER = Tok("refund", 0.8, {"billing": 0.1, "shipping": 0.05})
#: The same label inside of a thought, with another number.
GUESS = Tok("refund", 0.99, {"billing": 0.005})


def answer(text: str) -> str | Reason | str:
    part = answer_part(text)
    return part.reason if isinstance(part, Unscorable) else text[slice(*part)]


HARMONY = "<|channel|>analysis<|message|>refund? no.<|end|><|start|>assistant<|channel|>final<|message|>billing"


@pytest.mark.parametrize(
    "text",
    [
        "billing",
        " billing\n",
        "<think>refund?</think>\n\nbilling",
        "<think></think>billing",
        "<THINKING budget='9'>refund?</THINKING>billing",
        "<seed:think>a<seed:cot_budget_reflect>12</seed:cot_budget_reflect>b</seed:think>billing",
        "<mm:think>refund?</mm:think>billing",
        "<deep_reasoning>refund?</deep_reasoning>billing",
        "<思考>refund?</思考>billing",
        "◁think▷refund?◁/think▷billing",
        "[THINK]refund?[/THINK]billing</s>",
        "<|START_THINKING|>refund?<|END_THINKING|><|START_RESPONSE|>billing<|END_RESPONSE|>",
        "<|begin_of_thought|>refund?<|end_of_thought|><|begin_of_solution|>billing<|end_of_solution|>",
        "<|inner_prefix|>refund?<|inner_suffix|>billing",
        "<unused94>thought\nrefund?<unused95>billing",
        "<|channel>thought\nrefund?\n<channel|>billing<turn|>",
        "<|think|>refund?<|end|><|begin|>assistant<|content|>billing<|end|>",
        "Here is my thought process: refund?\nHere is my response: billing",
        '<details type="reasoning">\nrefund?\n</details>\nbilling',
        "refund? Hard.\n</think>\nbilling",
        "refund?</think>refund!</think>billing",
        "<think>a</think>\n<think>refund</think>billing",
        "<think>a<think>refund</think>b</think>billing",
        "<think>I could write <tool_call>refund</tool_call></think>billing",
        HARMONY,
        HARMONY + "<|return|>",
        "refund?<|end|><|start|>assistant<|channel|>final<|message|>billing<|return|>",
        "<|channel|>final <|constrain|>json<|message|>billing",
        "final<|message|>billing",
        "analysisrefund? no.assistantfinalbilling",
        "<think>refund?</think><answer>billing</answer>",
        "billing</answer>",
        "<label> billing </label>",
        r"\boxed{billing}",
        r"$\boxed{\text{billing}}$",
        "<|begin_of_box|>billing<|end_of_box|>",
        "<|im_start|>assistant\nbilling<|im_end|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\nbilling<|eot_id|>",
        "<|im_start|>assistant<|im_sep|>billing<|im_end|>",
        "<start_of_turn>model\nbilling<end_of_turn>",
        "<|assistant|>billing<|user|>",
        "[gMASK]<sop>billing<eos><eos>",
        "billing<｜end of sentence｜>",
    ],
)
def test_the_answer_is_what_stands_behind_the_thought(text: str) -> None:
    assert answer(text) == "billing"


@pytest.mark.parametrize(
    "text",
    [
        "<think>refund",
        "<think>refund\n<think>refund</think>refund",
        "<think>refund</thinking>refund",
        "<think>refund</think>",
        "refund</think>",
        "refund</seed:think>\n",
        "refund<|end_of_thought|><|im_end|>",
        "[THINK]refund",
        "◁think▷refund",
        "<|channel>thought\nrefund",
        "<|channel>thought\nrefund<channel|>",
        "<|channel|>analysis<|message|>refund",
        "<|channel|>analysis<|message|>refund<|end|>",
        "<|channel|>commentary<|message|>refund<|end|>",
        "<|start|>assistant<|message|>refund",
        "analysis<|message|>refund",
        "refund<|end|><|start|>assistant",
        "refund<|end|><|start|>assistant<|channel|>ana",
        "analysisrefundassistantanalysisrefund",
        "Here is my thought process: refund",
    ],
)
def test_a_text_that_is_all_thought_has_no_answer(text: str) -> None:
    assert answer(text) is Reason.REASONING_ONLY


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "label", "arguments": {"label": "refund"}}</tool_call>',
        '<think>hm</think><tool_call>{"name": "refund"}</tool_call>',
        "refund<tool_call>",
        '[TOOL_CALLS][{"name": "refund"}]',
        "<function=label>refund</function>",
        '<|python_tag|>{"name": "refund"}',
        "<｜tool calls begin｜>refund",
        "<|START_ACTION|>refund<|END_ACTION|>",
        "<minimax:tool_call>refund</minimax:tool_call>",
        '<|channel|>commentary to=functions.label <|constrain|>json<|message|>{"label": "refund"}<|call|>',
        '<|start|>assistant to=functions.label<|channel|>commentary<|message|>{"label": "refund"}<|call|>',
        'analysishm.assistantcommentary to=functions.label json{"label": "refund"}',
        "refund<|call|>",
    ],
)
def test_a_tool_call_written_as_text_is_no_answer(text: str) -> None:
    assert answer(text) is Reason.TOOL_CALL


@pytest.mark.parametrize(
    "text",
    [
        "refund<think>or billing?</think>billing",
        "<think>a</think>refund<think>b</think>refund",
        HARMONY + "<|end|><|start|>assistant<|channel|>analysis<|message|>refund",
        HARMONY + "<|end|><|start|>assistant<|channel|>final<|message|>billing",
        HARMONY + "<|end|><|start|>assistant",
        "assistantfinalrefundassistantanalysishm",
        "assistantfinalrefundassistantfinalbilling",
    ],
)
def test_where_the_text_does_not_say_which_part_is_the_answer_none_is(text: str) -> None:
    assert answer(text) is Reason.NOT_A_LABEL


@pytest.mark.parametrize(
    "text",
    [
        "<|foo|>refund",  # a special token that nobody knows may open anything
        "<draft_1>refund</draft_1>x",
        "refund<|im_end|>\n<|im_start|>user\nWhere is it?",
        "refund\n</draft>\nnone of these",
        "refund\nnone of these",
        "refund\nbill",
        "refund?\nThe customer names no amount at all.",
        "refund\nActually this reads more like something else.",
        "refund\nNo, the customer only asks about it.",
        "refund\nNein, das ist doch etwas ganz anderes.",
        "refund\nEn fait, le client parle d'autre chose.",
        "refund\nThis is not a refund request at all.",
        "退款\n其实用户想要的是别的东西，应该是另外一个。",
        "refund\nLabel: other",
        "refund\n\\boxed{other}",
        '{"label": "refund"} {"label": "billing"}',
        '{"label": "refund"}\nnone of these',
        '{"name": "refund", "arguments": {}}',
        '{"tool": "classify", "parameters": {"x": 1}, "label": "refund"}',
        "```tool_code\nlabel('refund')\n```",
        "```\nrefund\n```\nbilling",
        "```thinking\nrefund\n```",
        "refund\n\nHowever, the ticket fits another queue much better.",
        "refund\n\nI made a mistake, this ticket belongs somewhere else.",
        "refund\nNote: ignore",
        "退款\n更正：这应该属于另外一个类别，请忽略上面。",
        '{"rejected_label": "refund"}',
        '{"second_choice": "refund"}',
        '{"not": "refund"}',
        '{"tool": "refund"}',
        '{"reasoning": "refund"',
        '{"thought": "refund"}',
        '{"thought": "refund", "label": "other"}',
        '{"first_guess": "refund", "final": "none"}',
        '{"first_guess": "refund", "second_guess": "something"}',
        '{"guess": "refund"',
        '{"label": "refund", "answer": "billing"}',
        '{"label": "other", "category": "refund"}',
        '{"answer": "unknown", "topic": "refund"}',
        '{"intent": "refund", "category": "none of them"}',
        '{"topic": "refund", "decision": "none"}',
        '{"final_answer": "none", "answer": "refund"}',
        '{"label": "refund", "correct_label": "billing"}',
        '{"label": "refund" or "billing"}',
        '{"label": "refund", or maybe "billing"}',
        '{"label": "refund"; "label": "billing"}',
        '{"label": "refund",\n// no, billing\n}',
        '{"label": "refund", "label": "bil',
        '{"label": "refund" or something}',
        "analysisrefund",
    ],
)
def test_what_could_be_another_answer_or_a_marker_is_no_label(text: str) -> None:
    signal = score(bodies.chat([Tok(text, 0.97, {"billing": 0.01})]), LABELS).signal
    assert isinstance(signal, Unscorable)
    assert signal.reason in (Reason.NOT_A_LABEL, Reason.TOOL_CALL)


@pytest.mark.parametrize(
    "text",
    [
        "refund\nThe customer wants the money back.",
        "refund\n\nExplanation: the item broke on the first day.",
        "refund\nrefund\nLabel: refund",
        "refund\nReason: broken item\nConfidence: 0.9",
        "refund\nBecause it broke.",
        '{"label": "refund"}\nThe customer wants the money back.',
        '[{"label": "refund"}]',
    ],
)
def test_an_answer_of_several_lines_is_a_label_if_the_rest_only_explains(text: str) -> None:
    at = text.index("refund")
    tokens = [Tok(text[:at], 0.9, X)] * bool(at) + [ANSWER, Tok(text[at + 6 :], 0.9, X)]
    signal = score(bodies.chat(tokens), LABELS).signal
    assert isinstance(signal, Scored), signal
    assert signal.confidence == pytest.approx(0.8)


def cut(body: Body) -> Body:
    body["choices"][0]["finish_reason"] = "length"
    return body


def test_a_thought_that_was_cut_is_never_an_answer() -> None:
    for text in ("<think>", "<|channel|>analysis<|message|>", "[THINK]", "<|channel>thought\n"):
        body = bodies.chat([Tok(text, 0.9, X), GUESS])
        assert reason(body) is Reason.REASONING_ONLY
        assert reason(cut(body)) is Reason.TRUNCATED
    assert reason(cut(bodies.chat([GUESS, Tok("</thi", 0.9, X)]))) is Reason.NOT_A_LABEL


def reason(body: Body) -> Reason | str:
    signal = score(body, LABELS).signal
    assert isinstance(signal, Unscorable), signal
    return signal.reason


def confidence(body: Body) -> float:
    signal = score(body, LABELS).signal
    assert isinstance(signal, Scored), signal
    assert signal.label == "refund"
    return signal.confidence


THOUGHT = [Tok("<think>", 0.9, X), Tok("\n", 0.9, X), GUESS, Tok("?\n", 0.9, X), Tok("</think>", 0.9, X)]


@pytest.mark.parametrize("shape", sorted(bodies.SHAPES))
def test_the_number_is_that_of_the_answers_place(shape: str) -> None:
    tokens = [*THOUGHT, Tok("\n\n", 0.9, X), ANSWER, Tok("<|im_end|>", 0.9, X)]
    make = bodies.SHAPES[shape]
    assert confidence(make(tokens)) == pytest.approx(0.8)
    assert confidence(make(tokens, "refund")) == pytest.approx(0.8), "the content is clean and the tokens are not"


def test_the_number_is_that_of_the_final_channel() -> None:
    names = ["<|channel|>", "analysis", "<|message|>"], ["<|end|>", "<|start|>", "assistant", "<|channel|>", "final"]
    head, tail = ([Tok(name, 0.9, X) for name in part] for part in names)
    tokens = [*head, GUESS, *tail, Tok("<|message|>", 0.9, X), ANSWER, Tok("<|return|>", 0.9, X)]
    assert confidence(bodies.chat(tokens)) == pytest.approx(0.8)
    assert confidence(bodies.chat(tokens, "refund")) == pytest.approx(0.8)
    assert reason(bodies.chat([*head, GUESS], "refund")) is Reason.REASONING_ONLY


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_the_number_is_found_behind_a_thought_without_markers(key: str) -> None:
    tokens = [Tok("Maybe", 0.9, X), Tok(" refund", 0.99, {"billing": 0.005}), Tok(".", 0.9, X), ANSWER]
    body = bodies.chat(tokens, "refund")
    assert reason(body) is Reason.MISALIGNED, "nothing says that what stands before the answer is a thought"
    body["choices"][0]["message"][key] = "Maybe refund.\n"
    assert confidence(body) == pytest.approx(0.8)
    body["choices"][0]["message"][key] = "Maybe billing."
    assert reason(body) is Reason.MISALIGNED
    ollama = bodies.ollama(tokens, "refund")
    ollama["message"]["thinking"] = "Maybe refund."
    assert confidence(ollama) == pytest.approx(0.8)


def test_an_answer_that_is_the_thought_itself_needs_tokens_of_its_own() -> None:
    body = bodies.chat([GUESS])
    body["choices"][0]["message"]["reasoning_content"] = "refund"
    assert reason(body) is Reason.REASONING_ONLY
    body = bodies.chat([GUESS, Tok("\n", 0.9, X), ANSWER], "refund")
    body["choices"][0]["message"]["reasoning_content"] = "refund\n"
    assert confidence(body) == pytest.approx(0.8)


def test_tokens_around_the_thought_do_not_make_it_an_answer() -> None:
    for written in ("refund", "Refund.", " refund\n"):
        body = bodies.chat([GUESS, Tok("<|im_end|>", 0.9, X)], "refund")
        body["choices"][0]["message"]["reasoning_content"] = written
        assert reason(body) is Reason.REASONING_ONLY


@pytest.mark.parametrize("name", ["analysis", "Commentary", "reasoning", "thinking"])
def test_a_message_on_any_channel_but_the_final_one_is_no_answer(name: str) -> None:
    for place in ("channel", "phase"):
        body = bodies.chat([GUESS])
        body["choices"][0]["message"][place] = name
        assert reason(body) is Reason.REASONING_ONLY
    body = bodies.chat([GUESS], channel=name)
    assert reason(body) is Reason.REASONING_ONLY
    assert confidence(bodies.chat([ANSWER], channel="final")) == pytest.approx(0.8)


def test_a_thought_in_a_field_of_its_own_and_no_answer() -> None:
    body = bodies.chat([], logprobs=None, text="")
    body["choices"][0]["message"]["reasoning_content"] = "refund"
    assert reason(body) is Reason.REASONING_ONLY
    body = bodies.chat([GUESS])
    body["choices"][0]["message"]["channel"] = "analysis"
    assert reason(body) is Reason.REASONING_ONLY
    body = bodies.responses([GUESS])
    body["output"][1]["phase"] = "commentary"
    assert isinstance(score(body, LABELS).signal, Unscorable)
    body = bodies.gemini([GUESS])
    body["candidates"][0]["content"]["parts"][0]["thought"] = True
    assert reason(body) is Reason.REASONING_ONLY


def test_in_version_1_the_reason_is_one_that_its_readers_know() -> None:
    signal = score(bodies.chat([Tok("<think>", 0.9, X), GUESS]), LABELS).signal
    assert isinstance(signal, Unscorable)
    sent = signal.in_version_1()
    assert (sent.reason, sent.label) == (Reason.NOT_A_LABEL, None)
    assert sent.detail == "reasoning_only: the reasoning does not end"
    other = Unscorable(reason=Reason.REFUSED, detail="no")
    assert other.in_version_1() is other


@pytest.mark.parametrize(
    "piece", ["<s>", "<think>", "</think>", "<|channel|>final<|message|>", "[THINK]", "<a ", "\\boxed{"]
)
def test_a_text_full_of_markers_is_read(piece: str) -> None:
    assert answer(piece * 20_000) != "refund"
    assert answer("<thinka>" * 20_000 + "</thinkb>" * 20_000) is Reason.REASONING_ONLY
