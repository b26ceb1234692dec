"""The three handlers that decide, on plain values: a message in, the messages to send out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from schemas import (
    Call,
    Classification,
    Escalation,
    Message,
    Reason,
    Review,
    Routed,
    Scored,
    TicketMessage,
    Turn,
    Unscorable,
    revision_of,
)
from streams.agents.arrival import Arrival
from streams.agents.guards import Checked
from streams.agents.outcomes import review, routed
from streams.core.policy.policy import CheapRule, Decision, Policy, uncertainty
from streams.errors import StopWorker
from streams.reviews.decision import outcome_of
from tests.support.handlers import classify, escalate, score
from tests.support.messages import TURN, arrival, call, classification, escalation, scored, ticket, unscorable
from tests.support.records import FakeRecord

POLICY = Policy(id="policy-7")


class Model:
    """Answers every text with the same call, and keeps the texts."""

    def __init__(self, answer: Call) -> None:
        self.answer = answer
        self.texts: list[str] = []

    async def ask(self, text: str) -> Call:
        self.texts.append(text)
        return self.answer


def only(outputs: Sequence[Message]) -> Message:
    [output] = outputs
    return output


class TestClassify:
    async def test_asks_about_the_text_alone_and_keeps_the_ticket(self) -> None:
        model = Model(call())
        sent = arrival(text="Where is it?", label="refund", metadata={"channel": "mail"})
        output = only(await classify(model.ask)(sent))
        assert output == Classification(ticket=sent.ticket, call=model.answer, ticket_at_ms=TURN.ticket_at_ms)
        assert model.texts == ["Where is it?"]

    async def test_a_call_without_an_answer_is_a_classification_all_the_same(self) -> None:
        model = Model(call(signal=unscorable(Reason.NO_ANSWER), attempts=()))
        output = only(await classify(model.ask)(arrival()))
        assert output == Classification(ticket=ticket(), call=model.answer, ticket_at_ms=TURN.ticket_at_ms)

    async def test_what_stops_the_worker_goes_through(self) -> None:
        async def ask(_: str) -> Call:
            raise StopWorker("no such key")

        with pytest.raises(StopWorker):
            await classify(ask)(arrival())


class TestTurn:
    """What a ticket's record says of it goes along with it, to whatever it becomes."""

    TURN = Turn(ticket_at_ms=5, revision=7, run=2)

    def of(self, output: Message) -> Turn:
        assert isinstance(output, TicketMessage)
        return output.turn

    async def test_from_the_record_to_the_cheap_answer(self) -> None:
        record = FakeRecord(0, ticket().encode(), timestamp=5, headers=(("hedgerow-run", b"2"),))
        output = only(await classify(Model(call()).ask)(Arrival.read(record)))
        revision = revision_of(5, 0)
        assert self.of(output) == Turn(ticket_at_ms=5, revision=revision, run=2)

    def test_a_re_run_is_of_the_revision_that_it_repeats(self) -> None:
        run, revision = ("hedgerow-run", b"2"), ("hedgerow-revision", b"41")
        assert Arrival.read(FakeRecord(3, ticket().encode(), headers=(run, revision))).turn.revision == 41
        own = revision_of(5, 3)
        for headers in ((revision,), (run, ("hedgerow-revision", b"one")), (run, ("hedgerow-revision", b"9" * 19))):
            arrival = Arrival.read(FakeRecord(3, ticket().encode(), timestamp=5, headers=headers))
            assert arrival.turn.revision == own

    def test_a_record_without_a_time_stamp_has_none(self) -> None:
        assert Arrival.read(FakeRecord(0, ticket().encode(), timestamp=-1)).turn.ticket_at_ms is None

    async def test_to_results_escalations_and_reviews(self) -> None:
        doubtful = scored(confidence=0.2, entropy=1.5)
        turn = {"ticket_at_ms": 5, "revision": 7, "run": 2}
        for signal in (scored(), doubtful):
            assert self.of(only(score(POLICY, 3)(classification(signal).model_copy(update=turn)))) == self.TURN
            model = Model(call("big", signal))
            assert (
                self.of(only(await escalate(model.ask, POLICY, 3)(escalation().model_copy(update=turn)))) == self.TURN
            )
        straight = Policy(cheap=CheapRule(max_chars=1))
        output = only(await classify(Model(call()).ask, straight)(Arrival(ticket(), self.TURN)))
        assert isinstance(output, Escalation)
        assert output.turn == self.TURN

    def test_to_a_reviewers_decision(self) -> None:
        message = review(ticket(), self.TURN, POLICY, (call(),), (), 3)
        assert {self.of(output) for output in outcome_of(message, "refund", "ada", "", 9)} == {self.TURN}

    def test_a_result_says_when_and_what_the_ticket_says_of_itself(self) -> None:
        metadata = {"channel": "mail", "priority": 3}
        result = only(score(POLICY, 3)(classification(metadata=metadata)))
        assert isinstance(result, Routed)
        assert (result.metadata, result.at_ms, result.decision, result.reviewer) == (metadata, 0, 0, None)
        waiting = review(ticket(metadata=metadata), self.TURN, POLICY, (call(),), ("big:high_entropy",), 3)
        _, decided = outcome_of(waiting, "refund", "ada", "as the receipt says", 9)
        assert (decided.metadata, decided.at_ms, decided.decision) == (metadata, 9, 1)
        assert (decided.reviewer, decided.note) == ("ada", "as the receipt says")


class TestScore:
    def test_accept(self) -> None:
        message = classification(label="shipping")  # the gold label never decides
        output = only(score(POLICY, 3)(message))
        assert isinstance(output, Routed)
        assert (output.label, output.decided_by, output.policy_id) == ("refund", "cheap", "policy-7")
        assert (output.confidence, output.entropy, output.top_k_mass) == (0.9, 0.3, 0.99)
        assert output.calls == (message.call,)
        assert output.result_id == Routed.id_for("t-1")
        assert output.reasons == ()

    def test_numbers_are_those_of_the_basis(self) -> None:
        signal = scored(token_confidence=0.7, token_entropy=0.4)
        output = only(score(Policy(basis="token"), 3)(classification(signal)))
        assert isinstance(output, Routed)
        assert (output.confidence, output.entropy) == (0.7, 0.4)

    def test_escalate(self) -> None:
        message = classification(scored(confidence=0.2, entropy=1.5))
        assert only(score(POLICY, 3)(message)) == Escalation(
            ticket=message.ticket,
            call=message.call,
            reasons=("low_confidence", "high_entropy"),
            policy_id="policy-7",
        )

    @pytest.mark.parametrize("reason", Reason)
    def test_no_signal_is_never_routed(self, reason: Reason) -> None:
        output = only(score(POLICY, 3)(classification(unscorable(reason, label="refund"))))
        assert isinstance(output, Escalation)
        assert output.reasons == (f"no_signal:{reason.value}",)

    def test_review(self) -> None:
        policy = Policy(cheap=CheapRule(abstain_entropy=1.0))
        output = only(score(policy, 3)(classification(scored(entropy=1.05))))
        assert isinstance(output, Review)
        assert output.reasons == ("high_entropy", "abstained")
        assert (output.uncertainty, output.suggested) == (uncertainty(output.calls, 6), "refund")

    def test_the_same_message_gives_the_same_bytes(self) -> None:
        """A redelivery after a crash must not be another result."""
        handler = score(Policy(audit_share=0.5), 3)
        for number in range(20):
            message = classification(ticket_id=f"t-{number}")
            assert only(handler(message)).encode() == only(handler(message)).encode()


class TestEscalate:
    async def handle(self, big: Scored | Unscorable, cheap: Scored | Unscorable | None = None) -> Message:
        self.model = Model(call("big", big))
        self.message = escalation(cheap)
        return only(await escalate(self.model.ask, POLICY, 3)(self.message))

    async def test_accept(self) -> None:
        output = await self.handle(scored("shipping"))
        assert isinstance(output, Routed)
        assert (output.label, output.decided_by, output.policy_id) == ("shipping", "big", "policy-7")
        assert output.calls == (self.message.call, self.model.answer)
        assert output.reasons == ("cheap:low_confidence",)
        assert output.result_id == Routed.id_for("t-1")
        assert self.model.texts == [self.message.ticket.text]

    async def test_doubt_goes_to_a_person_with_both_answers_and_all_reasons(self) -> None:
        output = await self.handle(scored("shipping", entropy=1.3))
        assert isinstance(output, Review)
        assert output.calls == (self.message.call, self.model.answer)
        assert output.reasons == ("cheap:low_confidence", "big:high_entropy", "big:tiers_disagree")
        assert (output.suggested, output.uncertainty) == ("shipping", uncertainty(output.calls, 6))
        assert output.review_id == Review.id_for("t-1")

    async def test_a_label_that_the_cheap_text_named_without_a_signal_can_disagree(self) -> None:
        output = await self.handle(scored("shipping", entropy=0.9), unscorable(label="refund"))
        assert isinstance(output, Review)
        assert output.reasons == ("cheap:low_confidence", "big:tiers_disagree")

    @pytest.mark.parametrize("reason", Reason)
    async def test_no_signal_goes_to_a_person(self, reason: Reason) -> None:
        output = await self.handle(unscorable(reason))
        assert isinstance(output, Review)
        assert output.reasons == ("cheap:low_confidence", f"big:no_signal:{reason.value}")
        assert output.uncertainty == pytest.approx(math.log(3))
        assert output.suggested == "refund"  # the cheap tier's, for want of a better one

    async def test_nothing_is_suggested_where_nothing_was_named(self) -> None:
        output = await self.handle(unscorable(), unscorable())
        assert isinstance(output, Review)
        assert output.suggested is None


class TestOutcomes:
    @pytest.mark.parametrize("calls", [(call(signal=unscorable(label="refund")),), (call(), call("big", unscorable()))])
    def test_an_answer_without_a_signal_is_refused_whatever_the_decision_says(self, calls: tuple[Call, ...]) -> None:
        accept = Decision("accept", (), 1.0, 0.0)
        with pytest.raises(TypeError, match="without a signal"):
            routed(ticket(), TURN, Checked(accept), by="cheap", policy=POLICY, calls=calls)

    def test_no_call_at_all_is_refused_too(self) -> None:
        with pytest.raises((TypeError, IndexError)):
            routed(ticket(), TURN, Checked(Decision("accept", ())), by="cheap", policy=POLICY, calls=())

    def test_a_review_without_a_call_is_the_greatest_doubt(self) -> None:
        assert review(ticket(), TURN, POLICY, (), (), 6).uncertainty == pytest.approx(math.log(6))
