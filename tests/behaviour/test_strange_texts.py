"""A strange text goes to a person, whatever the models say: through a worker, with an endpoint that echoes."""

from __future__ import annotations

from pathlib import Path

from schemas import Measured, Review, Ticket
from streams.core.policy.policy import Policy
from streams.core.signal.perplexity import PerplexityRule
from streams.models.perplexity import PromptEndpoint
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.settings import Settings
from tests.support.pipelines import pipeline, raw_producer

#: For the sandbox's n-gram model, which knows little but its few training messages.
RULE = PerplexityRule(min_tokens=8, window_tokens=6, usual=5.0, high=15.0, window=18.0)
HONEST = "Where is my parcel? It should have come on Tuesday and the tracking number does not work."
TICKETS = {
    "honest": HONEST,
    "strange": "qx zzvk wpt xkcdq vvbn zxq plokm qqqz wxyzv kjhgf zzz",
    "suffix": f"{HONEST} {HONEST} {HONEST} ]]{{( zxqv=\\ !--qzz [@ ](( ;;}}{{ @@qv",
    "short": "qqzx vvk",
}


def watched(settings: Settings) -> Settings:
    endpoint = PromptEndpoint(endpoint=settings.tiers.cheap, api="echo")
    return settings.model_copy(update={"perplexity": endpoint, "policy": Policy(perplexity=RULE)})


async def test_a_strange_text_goes_to_a_person(broker: Broker, model_server: ModelServer, tmp_path: Path) -> None:
    async with (
        pipeline(broker, model_server, tmp_path, change=watched) as run,
        raw_producer(run.settings) as producer,
    ):
        for name, text in TICKETS.items():
            await run.send(name, Ticket(ticket_id=name, text=text).encode(), name.encode(), producer)
        await run.until(lambda: len(run.results) == len(TICKETS))
        ends = {name: results[0] for name, results in run.results.items()}
        reasons = {name: [one for one in end.reasons if "perplexity" in one] for name, end in ends.items()}
        assert reasons == {
            "honest": [],
            "strange": ["perplexity_high", "perplexity_window"],
            "suffix": ["perplexity_window"],
            "short": [],
        }
        assert isinstance(ends["strange"], Review)
        assert isinstance(ends["suffix"], Review)
        for end in ends.values():
            cheap = end.calls[0]
            assert cheap.perplexity is not None, "the result says what was measured, also where nothing came of it"
            assert isinstance(cheap.perplexity.result, Measured) == (end.ticket_id != "short")
