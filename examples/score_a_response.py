"""How sure was the model? Reads one response body with logprobs and prints the signal and the decision on it."""

from __future__ import annotations

import json
import sys

from streams import LabelSet, Policy, decide_cheap, score

labels = LabelSet(["refund", "billing", "shipping"])
body = json.load(sys.stdin)  # the body of a chat completion, as the API returned it

reading = score(body, labels)
decision = decide_cheap(Policy(), reading.signal, ticket_id="t-1", model=reading.model)

print(reading.signal.model_dump_json())
print(decision.action, *decision.reasons)
