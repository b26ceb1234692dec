"""From a signal to a decision: accept, escalate or review; and what a policy was fitted on."""
