"""What a demo says on a terminal of 80 columns: its steps, then the figures next to those of each model alone. Pure."""

from __future__ import annotations

from typing import Any

from streams.core.wording import counted

#: Any of these being more than 0 is a defect, and the demo's exit code says so.
DEFECTS = ("lost", "duplicates", "unscored_accepts")


def calibrated(found: dict[str, Any] | None) -> list[str]:
    """Return the lines on the calibration that the report's figures tell of; None: the policy was not calibrated."""
    if found is None:
        return ["skipped: --calibration FILE names labelled tickets to calibrate on"]
    if "reason" in found:
        return [f"no policy keeps the promise, so the default one is used: {found['reason']}"]
    cheap, big = found["cheap"], found["big"]
    lines = [
        f"{found['records']} tickets that no model has learnt from, in two halves:",
        f"{found['explored']} to choose the thresholds, {found['tested']} to test them",
        f"cheap accepts from confidence {cheap['min_confidence']:.2f} and under {cheap['max_entropy']:.2f} nats",
    ]
    if cheap["abstain_entropy"] is not None:
        lines.append(f"cheap sends to a reviewer from {cheap['abstain_entropy']:.2f} nats, escalates the rest")
    return [
        *lines,
        f"big accepts from confidence {big['min_confidence']:.2f} and up to {big['max_entropy']:.2f} nats",
        f"bound: wrong among those accepted {_percent(found['accepted_error'])} on the tested half,",
        f"under {_percent(found['accepted_error_bound'])} at {found['level']:.0%} confidence "
        f"(asked for: {_percent(found['max_error'])})",
    ]


def summary(figures: dict[str, Any]) -> list[str]:
    """Return the lines on what came of the tickets, from the report's figures."""
    calibration = figures["calibration"] or {}
    routed = figures["routed_labelled"]
    lines = [
        _row("", "pipeline", "all cheap", "all big"),
        _row(
            "cost of the calls, USD",
            *(_usd(figures[name]) for name in ("cost_usd", "cost_all_cheap_usd", "cost_all_big_usd")),
        ),
        _row(
            f"right, {counted(routed, 'routed ticket')}",
            *(_percent(figures[name]) for name in ("accuracy", "accuracy_all_cheap", "accuracy_all_big")),
        ),
        _row(
            f"right, {counted(figures['labelled'], 'labelled ticket')}",
            "-",
            *(_percent(figures[name]) for name in ("accuracy_cheap_alone", "accuracy_big_alone")),
        ),
        _row("left to a reviewer", _percent(figures["review_rate"]), "0.0%", "0.0%"),
        "",
        f"saving {_percent(figures['saving'])} of all big; accuracy kept {_percent(figures['accuracy_kept'])} "
        f"(pipeline / all big, routed)",
    ]
    if "max_error" in calibration and figures["accepted_error"] is not None:
        lines.append(
            f"wrong among those accepted {_percent(figures['accepted_error'])}; "
            f"bound from the calibration {_percent(calibration['accepted_error_bound'])}"
        )
    scope = figures["out_of_scope"]
    return [
        *lines,
        f"{counted(figures['tickets'], 'ticket')}: {figures['routed']} routed, {figures['in_review']} in review, "
        f"{counted(figures['dead_letters'], 'dead letter')}; {_percent(figures['escalation_rate'])} escalated",
        f"out of scope {scope['tickets']}: {scope['in_review']} in review, {scope['routed']} routed",
        f"alerts: {_counts(figures['alerts'])}",
    ]


def defects(figures: dict[str, Any]) -> str:
    """Return the line on what must be 0."""
    return ", ".join(f"{name.replace('_', ' ')} {figures[name]}" for name in DEFECTS)


def what_next(figures: dict[str, Any]) -> list[str]:
    """Return the lines on what to try next."""
    return [
        f"{figures['tickets_per_second'] or 0:.0f} tickets/s in {figures['seconds']:.1f} s. Next:",
        "  hedgerow demo --report report.json         every figure, to check",
        "  hedgerow demo --fault logprobs_null=0.3    what a fault of the models does",
        "  hedgerow demo --desk                       decide what waits, on web pages",
        "  hedgerow demo --help                       your tickets, Kafka, more workers",
    ]


def _row(name: str, *cells: str) -> str:
    return f"{name:<30}" + "".join(f"{cell:>12}" for cell in cells)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _usd(cost: float | None) -> str:
    return "-" if cost is None else f"{cost:.4f}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
