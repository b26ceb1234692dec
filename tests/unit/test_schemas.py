"""What travels on topics: the registry, the messages' two-way JSON, their limits, and what is refused by which name."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest
from pydantic import ValidationError

import schemas
from schemas import (
    MAX_EXAMPLE_TEXT,
    MAX_NAME,
    MAX_TEXT,
    RUN_HEADER,
    TOPICS,
    Alert,
    Call,
    Classification,
    DeadLetter,
    Escalation,
    Example,
    InvalidMessage,
    Message,
    Probe,
    Reason,
    Review,
    Routed,
    Scored,
    Ticket,
    Unscorable,
    Verdict,
    WireFormat,
    WorkerState,
    rank,
    run_of,
    stable_id,
    topic_of,
    total_usd,
)
from schemas.base import MAX_METADATA, MAX_METADATA_ENTRIES
from schemas.export import FOLDER, json_schemas
from schemas.registry import DEAD_LETTER_BYTES, TICKET_BYTES
from schemas.wire import WireVersion
from tests.support.messages import (
    attempt,
    call,
    classification,
    dead_letter,
    example,
    one_of_each,
    probe,
    review,
    routed,
    scored,
    ticket,
    unscorable,
    verdict,
)

FIXTURES = Path(__file__).parent.parent / "fixtures" / "messages"
KAFKA_DEFAULT_BYTES = 1_048_588
EACH = one_of_each()
VERSIONS: tuple[WireVersion, ...] = (1, 2)

DESIGN: dict[str, tuple[type[Message], str]] = {
    "tickets": (Ticket, "ticket_id"),
    "classifications": (Classification, "ticket_id"),
    "escalations": (Escalation, "ticket_id"),
    "routed": (Routed, "ticket_id"),
    "reviews": (Review, "ticket_id"),
    "verdicts": (Verdict, "ticket_id"),
    "dead-letters": (DeadLetter, "origin"),
    "probes": (Probe, "endpoint"),
    "alerts": (Alert, "source"),
    "memory": (Example, "example_id"),
    "fleet": (WorkerState, "worker"),
}
#: Those that version 1 had.
FIRST = [name for name in DESIGN if name not in {"fleet", "memory"}]


def refused(model: type[Message], data: bytes | None) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        model.decode(data)
    return caught.value


class TestRegistry:
    def test_holds_the_topics_of_the_design_and_no_other(self) -> None:
        assert {name: (topic.message, topic.key) for name, topic in TOPICS.items()} == DESIGN

    @pytest.mark.parametrize("name", DESIGN)
    def test_knows_a_message_by_its_type(self, name: str) -> None:
        assert topic_of(EACH[name]) is TOPICS[name]
        assert TOPICS[name].name == name

    def test_a_value_that_travels_on_no_topic_is_a_key_error(self) -> None:
        class Stranger(Message):
            pass

        with pytest.raises(KeyError):
            topic_of(Stranger())

    @pytest.mark.parametrize(
        ("name", "key"),
        [("tickets", b"t-1"), ("reviews", b"t-1"), ("dead-letters", b"tickets/3/17"), ("probes", b"cheap")],
    )
    def test_key(self, name: str, key: bytes) -> None:
        assert TOPICS[name].key_of(EACH[name]) == key

    def test_results_and_the_memory_are_compacted_and_large_topics_take_large_messages(self) -> None:
        for name in ("routed", "memory"):
            # What is forgotten is text, or metadata, of customers: it leaves the disks within a day.
            assert TOPICS[name].config == {"cleanup.policy": "compact", "max.compaction.lag.ms": str(24 * 3600 * 1000)}
        assert TOPICS["tickets"].config["max.message.bytes"] == str(TICKET_BYTES)
        # A ticket of the largest size must fit into its dead letter: base64 takes four bytes for three.
        assert DEAD_LETTER_BYTES > TICKET_BYTES * 4 / 3

    def test_what_workers_said_before_their_latest_word_goes_within_minutes(self) -> None:
        config = TOPICS["fleet"].config
        assert config["cleanup.policy"] == "compact,delete"
        assert config["max.compaction.lag.ms"] == str(10 * 60 * 1000)

    def test_exports_are_there(self) -> None:
        assert all(hasattr(schemas, name) for name in schemas.__all__)


class TestMessages:
    @pytest.mark.parametrize("name", DESIGN)
    def test_round_trip(self, name: str) -> None:
        message = EACH[name]
        assert type(message).decode(message.encode()) == message

    @pytest.mark.parametrize("name", DESIGN)
    def test_is_frozen(self, name: str) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            EACH[name].v = 1

    @pytest.mark.parametrize("name", DESIGN)
    def test_an_unknown_field_is_ignored(self, name: str) -> None:
        row = json.loads(EACH[name].encode()) | {"added_in_a_later_release": {"deep": [1]}}
        assert type(EACH[name]).decode(json.dumps(row).encode()) == EACH[name]

    @pytest.mark.parametrize("name", DESIGN)
    def test_a_newer_version_is_refused_by_name_whatever_else_it_holds(self, name: str) -> None:
        model = TOPICS[name].message
        row = json.loads(EACH[name].encode())
        for newer in (row | {"v": model.VERSION + 1}, {"v": model.VERSION + 1, "everything": "changed"}):
            error = refused(model, json.dumps(newer).encode())
            assert error.reason == "unknown_schema_version"
            assert f"{model.VERSION}, the newest this reader knows" in str(error)

    @pytest.mark.parametrize("name", DESIGN)
    def test_its_own_version_is_taken(self, name: str) -> None:
        model = TOPICS[name].message
        row = json.loads(EACH[name].encode()) | {"v": model.VERSION}
        assert model.decode(json.dumps(row).encode()).v == model.VERSION

    @pytest.mark.parametrize("name", DESIGN)
    def test_every_number_survives_the_way_there_and_back(self, name: str) -> None:
        """Neither infinity nor NaN may be in a message: JSON writes them as null, which no reader takes for a number."""

        def floats(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
            if isinstance(value, float):
                return [path]
            items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
            return [found for key, inner in items for found in floats(inner, (*path, key))]

        paths = [path for path in floats(EACH[name].model_dump(mode="json")) if path[0] != "details"]
        for path in paths:
            for bad in (float("nan"), float("inf"), -float("inf")):
                row = EACH[name].model_dump(mode="json")
                place: Any = row
                for key in path[:-1]:
                    place = place[key]
                place[path[-1]] = bad
                assert refused(type(EACH[name]), json.dumps(row).encode()).reason == "wrong_schema", path

    def test_binary_bytes_and_keys_survive(self) -> None:
        letter = dead_letter(original=bytes(range(256)) * 5, key=b"\xff\xfe\x00")
        assert DeadLetter.decode(letter.encode()) == letter
        assert DeadLetter.decode(dead_letter(key=None, original=b"").encode()).key is None

    def test_text_keeps_every_character_that_json_can_hold(self) -> None:
        text = '\x00\x07\u2028\ufeff\U0001f600 caf\u00e9 "\\/'
        assert Ticket.decode(ticket(text=text).encode()).text == text

    def test_costs_add_up_over_all_attempts_and_calls(self) -> None:
        cheap, big = call(), call("big")
        assert routed(calls=(cheap, big)).cost_usd == pytest.approx(2 * 0.000016)
        assert routed(calls=()).cost_usd == 0
        assert call(attempts=cheap.attempts * 3).latency_ms == pytest.approx(37.5)

    def test_one_result_and_one_review_for_each_ticket(self) -> None:
        assert Routed.id_for("t-1") == Routed.id_for("t-1") != Routed.id_for("t-2")
        assert Routed.id_for("t-1") != Review.id_for("t-1")


class TestMetadata:
    VALUES: ClassVar[dict[str, object]] = {"text": "1", "whole": 1, "number": 1.0, "yes": True, "nothing": None}

    def test_keeps_the_type_of_every_value_from_agent_to_agent(self) -> None:
        message = classification(metadata=self.VALUES)
        for _ in range(2):
            message = Classification.decode(message.encode())
        assert repr(message.ticket.metadata) == repr(self.VALUES)

    def test_takes_what_the_producer_wrote_alongside_it(self) -> None:
        row = {"ticket_id": "t", "text": "x", "subject": "Hi", "metadata": {"channel": "mail"}}
        kept = Ticket.decode(json.dumps(row).encode())
        assert kept == ticket("t", "x", metadata={"channel": "mail", "subject": "Hi"})
        assert json.loads(kept.encode())["metadata"] == {"channel": "mail", "subject": "Hi"}
        assert "subject" not in json.loads(kept.encode())

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("channel", "web"),
            ("nested", {"deep": [1]}),
            ("list", [1]),
            ("long", "x" * (MAX_METADATA + 1)),
            ("huge", 10**400),
            ("nan", float("nan")),
            ("", 1),
            ("n" * (MAX_NAME + 1), 1),
        ],
    )
    def test_leaves_out_an_unknown_field_that_it_cannot_hold(self, name: str, value: object) -> None:
        row = {"ticket_id": "t", "text": "x", name: value, "metadata": {"channel": "mail"}}
        assert Ticket.decode(json.dumps(row).encode()).metadata == {"channel": "mail"}

    def test_has_no_more_than_its_room(self) -> None:
        row = {"ticket_id": "t", "text": "x", "metadata": {"own": 0}} | {str(number): number for number in range(100)}
        kept = Ticket.decode(json.dumps(row).encode()).metadata
        assert list(kept) == ["own", *map(str, range(MAX_METADATA_ENTRIES - 1))]

    @pytest.mark.parametrize("name", ["model_config", "VERSION", "encode", "__class__", "__pydantic_extra__"])
    def test_takes_a_name_that_python_knows(self, name: str) -> None:
        kept = Ticket.decode(json.dumps({"ticket_id": "t", "text": "x", name: "mine"}).encode())
        assert kept.metadata == {name: "mine"}
        assert Ticket.decode(kept.encode()) == kept

    def test_of_texts_alone_is_read_by_readers_that_know_nothing_else(self) -> None:
        """Version 1 knew only texts here, and such a reader makes a dead letter of anything else."""

        class EarlierTicket(Message):
            ticket_id: str
            text: str
            metadata: dict[str, str]

        row = {"ticket_id": "t", "text": "x", "subject": "Hi"}
        kept = Ticket.decode(json.dumps(row).encode())
        assert EarlierTicket.decode(kept.encode()).metadata == {"subject": "Hi"}
        counted = Ticket.decode(json.dumps(row | {"priority": 3}).encode())
        assert refused(EarlierTicket, counted.encode()).reason == "wrong_schema"


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "reason", "words"),
        [
            (None, "empty_message", "no value"),
            (b"", "empty_message", "no value"),
            (b"hello", "not_json", "Invalid JSON"),
            (b"\xff\xfe\x00\x01", "not_json", "Invalid JSON"),
            (b'{"ticket_id": "a", "text": "cut', "not_json", "EOF"),
            (b'{"ticket_id": "a", "text": "\\ud800 alone"}', "not_json", "hex escape"),
            (b'{"ticket_id": "a", "text": "\xed\xa0\x80 alone"}', "not_json", "unicode"),
            (b"[" * 100_000, "not_json", "recursion"),
            (b'{"ticket_id": "a", "text": "x", "z": ' + b"9" * 5_000 + b"}", "not_json", "number"),
            (b"null", "wrong_schema", "message"),
            (b"[]", "wrong_schema", "message"),
            (b'"text"', "wrong_schema", "message"),
            (b"{}", "wrong_schema", "ticket_id: Field required (and 1 more)"),
            (b'{"ticket_id": "a"}', "wrong_schema", "text: Field required"),
            (b'{"text": "x"}', "wrong_schema", "ticket_id: Field required"),
            (b'{"ticket_id": null, "text": "x"}', "wrong_schema", "ticket_id"),
            (b'{"ticket_id": 7, "text": "x"}', "wrong_schema", "ticket_id"),
            (b'{"ticket_id": "", "text": "x"}', "wrong_schema", "ticket_id"),
            (b'{"ticket_id": "a", "text": ""}', "wrong_schema", "the text is empty"),
            (b'{"ticket_id": "a", "text": " \\n\\t\\u00a0"}', "wrong_schema", "the text is empty"),
            (b'{"ticket_id": "a", "text": ["x"]}', "wrong_schema", "text"),
            (
                b'{"ticket_id": "a", "text": "x", "metadata": {"n": []}}',
                "wrong_schema",
                "metadata.n: a text of at most",
            ),
            (
                b'{"ticket_id": "a", "text": "x", "metadata": {"n": NaN}}',
                "wrong_schema",
                "metadata.n: a text of at most",
            ),
            (b'{"ticket_id": "a", "text": "x", "v": 0}', "unknown_schema_version", "schema version"),
            (b'{"ticket_id": "a", "text": "x", "v": 999999999999999999999}', "unknown_schema_version", "newest"),
            (b'{"ticket_id": "a", "text": "x", "v": "two"}', "unknown_schema_version", "schema version"),
            (b'{"ticket_id": "a", "text": "x", "v": null}', "unknown_schema_version", "schema version"),
            (b'{"ticket_id": "a", "text": "x", "metadata": {"v": {}}}', "wrong_schema", "metadata.v"),
        ],
    )
    def test_reason_and_place(self, data: bytes | None, reason: str, words: str) -> None:
        error = refused(Ticket, data)
        assert error.reason == reason
        assert words in str(error)

    def test_a_newer_ticket_inside_another_message_is_named_as_such(self) -> None:
        row = json.loads(EACH["classifications"].encode())
        row["ticket"]["v"] = Ticket.VERSION + 1
        assert refused(Classification, json.dumps(row).encode()).reason == "unknown_schema_version"

    def test_limits(self) -> None:
        assert Ticket(ticket_id="i" * MAX_NAME, text="x" * MAX_TEXT)
        for row in (
            {"ticket_id": "i" * (MAX_NAME + 1), "text": "x"},
            {"ticket_id": "i", "text": "x" * (MAX_TEXT + 1)},
            {"ticket_id": "i", "text": "x" * 1_000_000},
            {"ticket_id": "i", "text": "x", "metadata": {str(n): "" for n in range(65)}},
            {"ticket_id": "i", "text": "x", "metadata": {"k": "v" * (MAX_METADATA + 1)}},
            {"ticket_id": "i", "text": "x", "metadata": {"k" * (MAX_NAME + 1): "v"}},
        ):
            assert refused(Ticket, json.dumps(row).encode()).reason == "wrong_schema"

    @pytest.mark.parametrize("character", ["\x01", "\U0001f600", "\\"])
    def test_the_largest_ticket_fits_into_every_message_about_it(self, character: str) -> None:
        metadata = {f"{n:02d}" + character * (MAX_NAME - 2): character * MAX_METADATA for n in range(64)}
        largest = ticket("t" * MAX_NAME, character * MAX_TEXT, label="l" * MAX_NAME, metadata=metadata)
        both = (call(answer=character * 1000), call("big", answer=character * 1000))
        messages = [
            Classification(ticket=largest, call=both[0]),
            Escalation(ticket=largest, call=both[0], reasons=("low_confidence", "high_entropy"), policy_id="p"),
            review(ticket=largest, calls=both),
        ]
        assert max(len(message.encode()) for message in messages) < KAFKA_DEFAULT_BYTES

    def test_neither_the_text_nor_endless_keys_stand_in_the_reason(self) -> None:
        secret = "my card number is 4000 0000 0000 0000"
        for row in (
            {"ticket_id": 5, "text": secret},
            {"ticket_id": "t", "text": [secret]},
            {"ticket_id": "t", "text": secret, "metadata": secret},
        ):
            assert secret not in str(refused(Ticket, json.dumps(row).encode()))
        huge = {"ticket_id": "t", "text": "x", "metadata": {"k" * 100_000: 1}}
        assert len(str(refused(Ticket, json.dumps(huge).encode()))) < 1_000
        tag = json.loads(EACH["classifications"].encode())
        tag["call"]["signal"]["status"] = "s" * 100_000
        assert len(str(refused(Classification, json.dumps(tag).encode()))) < 1_000

    @pytest.mark.parametrize(
        "changes",
        [
            {"confidence": 1.01},
            {"confidence": -0.01},
            {"entropy": -0.1},
            {"top_k_mass": 1.2},
            {"k": 0},
            {"min_logprob": 0.1},
            {"mean_logprob": float("nan")},
            {"label_probs": {"refund": 1.5}},
            {"label_probs": {"refund": float("nan")}},
        ],
    )
    def test_a_signal_takes_no_impossible_number(self, changes: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            scored(**changes)

    def test_a_probe_takes_no_number_that_json_has_not(self) -> None:
        with pytest.raises(ValidationError):
            probe(logprobs={"a": -float("inf")})
        assert probe(logprobs={"a": -9999.0}).logprobs == {"a": -9999.0}

    def test_a_signal_says_what_it_is(self) -> None:
        row = scored().model_dump()
        del row["status"]
        with pytest.raises(ValidationError, match="status"):
            Call(tier="cheap", model_asked="m", prompt_hash="", signal=row)  # type: ignore[arg-type]
        assert Scored.model_validate(scored().model_dump()) == scored()

    @pytest.mark.parametrize("label", ["", "x" * (MAX_NAME + 1)])
    def test_an_answer_whose_label_no_result_could_carry(self, label: str) -> None:
        """Found by fuzzing: the message was taken, and the agent that decides could not build its result."""
        for signal in (scored(), unscorable(label="refund")):
            row = json.loads(classification(signal).encode())
            row["call"]["signal"]["label"] = label
            error = refused(Classification, json.dumps(row).encode())
            assert error.reason == "wrong_schema"
            assert "call.signal" in str(error)


class TestExample:
    def test_has_the_id_of_its_ticket_or_of_its_text(self) -> None:
        assert Example.id_for("t-1", "Money back!") == "t-1"
        assert Example.id_for(None, "Money back!") == Example.id_for("", "Money back!") == "text-02737df593750718"
        assert Example.id_for(None, "Money back?") != Example.id_for(None, "Money back!")

    @pytest.mark.parametrize(
        ("vector", "words"),
        [
            ("", "not 1 to 8192 numbers"),
            ("AA==", "not 1 to 8192 numbers"),
            (base64.b64encode(struct.pack("<8193e", 1.0, *[0.0] * 8192)).decode(), "not 1 to 8192 numbers"),
            ("AAA=", "not have length one"),
            ("AEA=", "not have length one"),
            ("AHw=", "not have length one"),
            ("AH4=", "not have length one"),
            ("no base64!", "base64"),
            ([1.0], "vector"),
        ],
        ids=["empty", "half", "too long", "zero", "two", "infinity", "nan", "text", "list"],
    )
    def test_takes_no_vector_that_cannot_be_compared(self, vector: object, words: str) -> None:
        row = json.loads(example().encode()) | {"vector": vector}
        error = refused(Example, json.dumps(row).encode())
        assert error.reason == "wrong_schema"
        assert words in str(error)

    def test_takes_both_alphabets_of_base64_and_writes_the_one_for_urls(self) -> None:
        vector = struct.pack("<2e", 0.0, -1.0) + b"\xff\x03\xff\x03"
        for written in (base64.b64encode(vector), base64.urlsafe_b64encode(vector)):
            row = json.loads(example().encode()) | {"vector": written.decode()}
            assert Example.decode(json.dumps(row).encode()).vector == vector
        assert json.loads(example(vector=vector).encode())["vector"] == base64.urlsafe_b64encode(vector).decode()

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"text": "x" * (MAX_EXAMPLE_TEXT + 1)}, "at most 4000"),
            ({"text": " \n"}, "the text is empty"),
            ({"label": ""}, "label"),
            ({"source": "rumour"}, "source"),
            ({"by": ""}, "by"),
        ],
    )
    def test_limits(self, changes: dict[str, str], words: str) -> None:
        row = json.loads(example().encode()) | changes
        assert words in str(refused(Example, json.dumps(row).encode()))

    def test_says_whether_it_fits_a_label(self) -> None:
        row = json.loads(example(label=None).encode())
        assert Example.decode(json.dumps(row).encode()).label is None
        del row["label"]
        assert "label: Field required" in str(refused(Example, json.dumps(row).encode()))

    @pytest.mark.parametrize("character", ["\x01", "\U0001f600", "\\"])
    def test_the_largest_fits_into_kafkas_default(self, character: str) -> None:
        name = character * MAX_NAME
        vector = struct.pack("<8192e", 1.0, *[0.0] * 8191)
        names = dict.fromkeys(("ticket_id", "label", "slice", "by", "embedding_model"), name)
        largest = example(name, text=character * MAX_EXAMPLE_TEXT, vector=vector, **names)
        assert len(largest.encode()) < KAFKA_DEFAULT_BYTES / 10


class TestStableId:
    def test_values_never_change(self) -> None:
        """Ids stand in stores and topics: another value would be a second result for every ticket."""
        assert stable_id() == "cae66941d9efbd404e4d88758ea67670"
        assert stable_id("routed", "t-1") == Routed.id_for("t-1") == "f5f3252f281f49a32f1772642f4e5815"
        assert stable_id("review", "t-1") == Review.id_for("t-1") == "75f374a4bf054cd19b75eccc77c94c7c"
        assert stable_id("caf\u00e9", "\ud800") == "c8106a02dc6c46e6f833fe073122c882"

    def test_parts_are_not_run_together(self) -> None:
        assert len({stable_id(*parts) for parts in (("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"))}) == 5


class TestStoredForms:
    def test_the_json_schemas_are_current(self) -> None:
        stored = {name: (FOLDER / name).read_text(encoding="utf-8") for name in json_schemas()}
        assert stored == json_schemas(), "run: python -m schemas.export"
        assert set(stored) >= {f"{name}.v{topic.message.VERSION}.json" for name, topic in TOPICS.items()}

    def test_the_json_schemas_say_what_a_field_means(self) -> None:
        fields = json.loads(json_schemas()["routed.v2.json"])["$defs"]["Scored"]["properties"]
        assert "renormalised" in fields["label_probs"]["description"]
        assert "not renormalised" in fields["confidence"]["description"]

    @pytest.mark.parametrize(
        ("name", "version"),
        [(name, version) for name in DESIGN for version in VERSIONS if version > 1 or name in FIRST],
    )
    @pytest.mark.parametrize("form", ["full", "minimal"])
    def test_messages_of_every_version_parse(self, name: str, form: str, version: int) -> None:
        row = stored(name, version)[form]
        assert form == "minimal" or row["v"] == version
        message = TOPICS[name].message.decode(json.dumps(row).encode())
        assert_same(message.model_dump(mode="json"), row)
        assert message.v == message.VERSION

    @pytest.mark.parametrize("name", DESIGN)
    def test_the_full_fixture_names_every_field_of_the_newest_version(self, name: str) -> None:
        assert set(stored(name, VERSIONS[-1])["full"]) == set(TOPICS[name].message.model_fields)

    @pytest.mark.parametrize("name", FIRST)
    @pytest.mark.parametrize("form", ["full", "minimal"])
    def test_what_is_read_in_version_1_is_written_in_it_again(self, name: str, form: str) -> None:
        row = stored(name, 1)[form]
        message = TOPICS[name].message.decode(json.dumps(row).encode())
        again = WireFormat(1).encode(message)
        follows_schema(name, 1, json.loads(again))
        assert_same(json.loads(again), row, versions=True)
        assert TOPICS[name].message.decode(again) == message

    def test_a_result_of_version_1_costs_what_its_calls_cost(self) -> None:
        row = stored("routed", 1)["full"]
        assert "cost_usd" not in row
        assert Routed.decode(json.dumps(row).encode()).cost_usd == pytest.approx(2 * 0.000016)


class TestWireFormat:
    @pytest.mark.parametrize("name", FIRST)
    def test_version_1_is_what_its_json_schema_says_and_loses_nothing(self, name: str) -> None:
        data = WireFormat(1).encode(EACH[name])
        row = json.loads(data)
        assert row["v"] == 1
        assert row.get("ticket", {"v": 1})["v"] == 1
        follows_schema(name, 1, row)
        assert TOPICS[name].message.decode(data) == EACH[name]

    @pytest.mark.parametrize("name", DESIGN)
    def test_version_2_is_what_its_json_schema_says(self, name: str) -> None:
        row = json.loads(WireFormat(2).encode(EACH[name]))
        assert row["v"] == 2
        follows_schema(name, 2, row)

    def test_a_review_of_any_text_has_the_ticket_s_own_id_in_version_1(self) -> None:
        """The review agent of the first release refuses any other id, and skips the revision."""
        review_id = Review.id_for("t-1", 7, 0)
        for message in (
            review(revision=7, review_id=review_id),
            verdict(revision=7, review_id=review_id, verdict_id=Verdict.id_for(review_id)),
        ):
            row = json.loads(WireFormat(1).encode(message))
            assert (row["review_id"], row["revision"]) == (Review.id_for("t-1"), 7)
            for version in VERSIONS:
                assert type(message).decode(WireFormat(version).encode(message)) == message
        kept = json.loads(WireFormat(1).encode_to_keep(review(revision=7, review_id=review_id)))
        assert (kept["v"], kept["review_id"]) == (1, review_id)

    def test_a_review_under_the_id_of_another_ticket_keeps_it(self) -> None:
        strange = review(revision=7, review_id=Review.id_for("t-2", 7, 0))
        for version in VERSIONS:
            assert Review.decode(WireFormat(version).encode(strange)).review_id == strange.review_id

    @pytest.mark.parametrize(
        "message",
        [
            routed(label=None, decided_by="human", reasons=("none_of_these",)),
            routed(decided_by="memory"),
            routed(calls=(call(attempts=(attempt(cost_usd=None),)),)),
            verdict(label=None),
            review(calls=(call(attempts=(attempt(), attempt(cost_usd=None))),)),
            Classification(ticket=ticket(), call=call(attempts=(attempt(cost_usd=None),))),
            probe(cost_usd=None),
            example(),
        ],
    )
    def test_what_version_1_has_no_words_for_is_version_2(self, message: Message) -> None:
        row = json.loads(WireFormat(1).encode(message))
        assert row["v"] == 2
        assert type(message).decode(json.dumps(row).encode()) == message

    def test_readers_of_version_1_know_the_reason_of_every_missing_signal(self) -> None:
        signal = Unscorable(reason=Reason.REASONING_ONLY, detail="the reasoning does not end")
        for message in (classification(signal), review(calls=(call(signal=signal),))):
            first = json.loads(WireFormat(1).encode(message))
            said = (first.get("call") or first["calls"][0])["signal"]
            assert said["reason"] == "not_a_label"
            assert said["detail"] == "reasoning_only: the reasoning does not end"
            assert type(message).decode(WireFormat(2).encode(message)) == message

    def test_a_result_says_what_it_cost_however_much_of_the_calls_it_carries(self) -> None:
        result = routed(calls=(call(signal=unscorable(label="shipping")), call("big")))
        sizes = {}
        for calls in ("full", "summary", "none"):
            data = WireFormat(2, calls).encode(result)
            read = Routed.decode(data)
            assert read.cost_usd == result.cost_usd
            assert bool(read.calls) == (calls == "full")
            sizes[calls] = len(data)
            if calls == "summary":
                cheap, big = read.summary
                assert (cheap.tier, cheap.label, cheap.reason, cheap.confidence) == (
                    "cheap",
                    "shipping",
                    "logprobs_null",
                    None,
                )
                assert (big.label, big.reason, big.confidence, big.attempts) == ("refund", None, 0.9, 1)
            else:
                assert read.summary == ()
        assert sizes["full"] > sizes["summary"] > sizes["none"]


class TestRank:
    def test_a_later_text_counts_more_then_a_later_run_then_a_person_then_a_correction(self) -> None:
        human = {"decided_by": "human"}
        rising = [
            routed(),
            routed(**human),
            routed(**human, decision=1),
            routed(**human, decision=2),
            routed(run=1),
            routed(run=1, **human, decision=1),
            routed(revision=1),
            routed(revision=1, run=1),
            routed(revision=2),
        ]
        ranks = [rank(result) for result in rising]
        assert ranks == sorted(set(ranks))
        assert rank(routed()) == rank(routed(decided_by="big")) == rank(review())
        assert rank(verdict(decision=2)) == rank(routed(**human, decision=2))


class TestNewInVersion2:
    def test_an_unknown_cost_is_no_cost_of_zero(self) -> None:
        unpriced = call(attempts=(attempt(), attempt(cost_usd=None)))
        assert unpriced.cost_usd is None
        assert routed(calls=(call(), unpriced)).cost_usd is None
        assert total_usd(()) == 0

    def test_a_result_may_have_no_label(self) -> None:
        result = routed(label=None, decided_by="human", reasons=("big:high_entropy", "none_of_these"))
        assert Routed.decode(result.encode()) == result

    @pytest.mark.parametrize("reason", ["a_reason_of_tomorrow", "not_a_label"])
    def test_reasons_are_open(self, reason: str) -> None:
        row = json.loads(classification(unscorable()).encode())
        row["call"]["signal"]["reason"] = reason
        assert Classification.decode(json.dumps(row).encode()).call.signal.reason == reason  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("routed", ("revision",)),
            ("routed", ("at_ms",)),
            ("routed", ("run",)),
            ("verdicts", ("at_ms",)),
            ("dead-letters", ("offset",)),
            ("classifications", ("call", "attempts", 0, "at_ms")),
            ("classifications", ("call", "signal", "k")),
        ],
    )
    @pytest.mark.parametrize("value", [2**63, 10**30])
    def test_an_integer_beyond_64_bits_is_no_message(self, name: str, path: tuple[Any, ...], value: int) -> None:
        row = json.loads(EACH[name].encode())
        place: Any = row
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        assert refused(type(EACH[name]), json.dumps(row).encode()).reason == "wrong_schema"

    def test_the_largest_integers_are_taken(self) -> None:
        result = routed(revision=2**63 - 1, run=10**15 - 1, at_ms=2**63 - 1)
        assert Routed.decode(result.encode()) == result

    def test_a_run_stands_in_a_header(self) -> None:
        assert run_of([]) == run_of([("other", b"x")]) == 0
        assert run_of([(RUN_HEADER, b"0012"), ("other", None)]) == 12
        for value in (None, b"", b"-1", b"1.5", b"one", b"9" * 16, "\u0661".encode()):
            with pytest.raises(InvalidMessage, match=RUN_HEADER) as caught:
                run_of([(RUN_HEADER, value)])
            assert caught.value.reason == "wrong_run"


def stored(name: str, version: int) -> Any:
    """The messages of a topic as a release of that version wrote them."""
    return json.loads((FIXTURES / f"v{version}" / f"{name}.json").read_text(encoding="utf-8"))


def follows_schema(name: str, version: int, row: Any) -> None:
    schema = json.loads((FOLDER / f"{name}.v{version}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(row)


def assert_same(message: Any, row: Any, *, versions: bool = False) -> None:
    """Everything that the stored row says must be read back unchanged, but for the version; defaults may be added."""
    if isinstance(row, dict):
        for key, value in row.items():
            if key != "v" or versions:
                assert_same(message[key], value, versions=versions)
    elif isinstance(row, list):
        assert len(message) == len(row)
        for mine, theirs in zip(message, row, strict=True):
            assert_same(mine, theirs, versions=versions)
    else:
        assert message == row
