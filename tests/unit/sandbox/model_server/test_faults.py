"""Fault switches: what is read, what is refused, and how often they strike."""

from __future__ import annotations

import random

import pytest

from streams.errors import SettingsError
from streams.sandbox.model_server.faults import Fault, FaultName, Faults
from streams.sandbox.model_server.served import ALIASES, BIG, CHEAP


def parse(*texts: str) -> Faults:
    return Faults.parse(texts, ALIASES)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("logprobs_null=0.3", "logprobs_null=0.3"),
        ("cheap:logprobs_null=0.3", "sandbox-cheap:logprobs_null=0.3"),
        ("sandbox-big:hang=1", "sandbox-big:hang=1"),
        (" slow=0.1@800 ", "slow=0.1@800"),
        ("drift=0.5", "drift=0.5@0.02"),
        ("rate_limit=1@0.05", "rate_limit=1@0.05"),
    ],
)
def test_reads_a_switch_and_writes_it_again(text: str, written: str) -> None:
    (switch,) = parse(text).switches
    assert str(switch) == written
    assert parse(written).switches == (switch,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("logprob_null=0.3", "unknown fault 'logprob_null'.*choose from rate_limit"),
        ("=0.3", "unknown fault ''"),
        ("hang", "has no rate"),
        ("hang=often", "'often' in fault 'hang=often' is not a number"),
        ("hang=nan", "not a number"),
        ("hang=1.5", "between 0 and 1"),
        ("hang=-0.1", "between 0 and 1"),
        ("hang=0.1@3", "takes no amount"),
        ("slow=0.1@", "not a number"),
        ("slow=0.1@-5", "must not be negative"),
        ("medium:hang=0.1", "the model 'medium', which is not one of sandbox-cheap, sandbox-big"),
        (":hang=0.1", "the model ''"),
    ],
)
def test_refuses_what_makes_no_sense(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse(text)


def test_every_fault_can_be_switched_on() -> None:
    assert len(parse(*(f"{name}=0.1" for name in FaultName)).switches) == len(FaultName)


def test_a_rate_is_the_share_of_calls_that_no_earlier_fault_has_taken() -> None:
    faults, chance = parse("drift=1", "logprobs_null=0.5", "rate_limit=0.2"), random.Random(4)
    drawn = [faults.draw(chance, CHEAP) for _ in range(10_000)]
    share = {name: sum(fault.name is name for fault in drawn) / len(drawn) for name in FaultName}
    assert share[FaultName.RATE_LIMIT] == pytest.approx(0.2, abs=0.02)
    assert share[FaultName.LOGPROBS_NULL] == pytest.approx(0.4, abs=0.02)
    assert share[FaultName.DRIFT] == pytest.approx(0.4, abs=0.02)


def test_a_scoped_fault_strikes_its_model_only() -> None:
    faults, chance = parse("cheap:hang=1"), random.Random(0)
    assert faults.draw(chance, CHEAP) == Fault(FaultName.HANG)
    assert faults.draw(chance, BIG) is None


def test_rates_of_zero_and_one_are_exact_and_draws_repeat() -> None:
    assert all(parse("cut=0").draw(random.Random(seed), BIG) is None for seed in range(200))
    assert all(parse("cut=1").draw(random.Random(seed), BIG) for seed in range(200))
    faults = parse("cut=0.3")
    first, second = random.Random(9), random.Random(9)
    assert [faults.draw(first, BIG) for _ in range(50)] == [faults.draw(second, BIG) for _ in range(50)]
