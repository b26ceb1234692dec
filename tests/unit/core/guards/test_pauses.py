"""Which tiers are paused: the last word about each counts, in any order of the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas import Alert, Tier
from streams.core.guards import AlertKind
from streams.core.guards.pauses import Pauses, pause_alert
from tests.support.messages import alert

PAUSED, RESUMED = AlertKind.PAUSED, AlertKind.RESUMED
SCOPES: tuple[Tier | None, ...] = (None, "cheap", "big")
WORDS = st.lists(st.tuples(st.sampled_from((PAUSED, RESUMED)), st.sampled_from(SCOPES)), max_size=20)


def said(kind: AlertKind, scope: Tier | None, at_ms: int = 1) -> Alert:
    return pause_alert(kind, scope, "ann", "a new disk", at_ms)


@given(WORDS)
def test_what_holds_for_a_tier_is_its_own_last_word_or_that_about_everything(
    words: list[tuple[AlertKind, Tier]],
) -> None:
    pauses = Pauses()
    last: dict[Tier | None, bool] = {}
    for kind, scope in words:
        before = last.get(scope, False)
        last[scope] = kind is PAUSED
        assert pauses.update(said(kind, scope)) is (before != last[scope])
    everything = last.get(None, False)
    assert (pauses.of(None) is not None) is everything
    for tier in ("cheap", "big"):
        assert (pauses.of(tier) is not None) is (everything or last.get(tier, False))
    assert set(pauses.scopes) == {scope for scope, paused in last.items() if paused}


def test_a_pause_says_by_whom_and_why() -> None:
    pauses = Pauses()
    pauses.update(said(PAUSED, "cheap"))
    pause = pauses.of("cheap")
    assert pause is not None
    assert pause.summary == "cheap: paused by ann: a new disk"
    assert pause.details == {"by": "ann", "note": "a new disk"}


def test_other_alerts_pause_nothing() -> None:
    pauses = Pauses()
    assert not pauses.update(alert(kind="model_changed"))
    assert not pauses.standing
