"""How sure was the model? Scores one response body; needs no Kafka, no network and no settings.

python examples/score_a_response.py
"""

from math import log

from schemas import Scored
from streams import LabelSet, Policy, decide_cheap, score

# A chat completion that was asked for with logprobs=true and top_logprobs=2, as any OpenAI-compatible server returns it.
# The model wrote "refund", but it gave "shipping" almost as much probability.
TOP = [{"token": "refund", "logprob": log(0.52)}, {"token": "shipping", "logprob": log(0.46)}]
BODY = {
    "object": "chat.completion",
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "message": {"role": "assistant", "content": "refund"},
            "logprobs": {"content": [{**TOP[0], "top_logprobs": TOP}]},
            "finish_reason": "stop",
        }
    ],
}

# The three lines: labels, signal, decision. Policy() holds the default thresholds.
labels = LabelSet(["refund", "billing", "shipping"])
reading = score(BODY, labels)
decision = decide_cheap(Policy(), "t-1", reading)

# score() never raises. Without a usable signal it gives the reason, and such an answer is never accepted.
if isinstance(reading.signal, Scored):
    print(
        f"{reading.signal.label}: confidence {reading.signal.confidence:.2f}, entropy {reading.signal.decides:.2f} nats"
    )
else:
    print(f"no signal: {reading.signal.reason}")
print(decision.action, *decision.reasons)
