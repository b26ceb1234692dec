"""The benchmark's parts: the variants, the edits, the training, the statistics and what they cost."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.tinychange import detectors
from benchmarks.tinychange.auc import VariantScores, auc, interval
from benchmarks.tinychange.detectors import LT, MET, QUESTIONS, _mmd
from benchmarks.tinychange.edits import edited, noisy, stepped, without_smallest, without_some
from benchmarks.tinychange.recording import Part, Recording
from benchmarks.tinychange.result import cost, hard_variants, with_noise, with_second_answer
from benchmarks.tinychange.run import recorded
from benchmarks.tinychange.sizes import SMALL
from benchmarks.tinychange.small.network import ATTENTION, CONTEXT, forward, gradient, loss, single_samples, trained
from benchmarks.tinychange.tuning import fine_tuned, lora_tuned
from benchmarks.tinychange.variants import RANK, Family, Variant, fine_variants, variants

SIZES = replace(
    SMALL, history=210, original_rows=60, rows=20, original_samples=16, samples=8, tests=50, references=2, k=5
)


@pytest.fixture(scope="module")
def start() -> dict[str, Any]:
    text = np.random.default_rng(0).integers(0, 7, CONTEXT + 2)
    return {name: value.astype(np.float64) for name, value in trained(text, 7, 0).items()}


def recording(seed: int, *, rows: int, samples: int, shift: float = 0.0) -> Recording:
    chance = np.random.default_rng(seed)
    logprobs = np.sort(-np.arange(1, 6) + shift + chance.normal(0, 0.05, (rows, 5)), axis=1)[:, ::-1]
    completions = chance.integers(0, 3 if shift else 50, (6, samples, 12))
    right = np.full((40, 2), 0.1 if shift else 0.9, np.float32)
    return Recording(np.tile(np.arange(5), (rows, 1)), logprobs.astype(np.float32), completions, right)


class TestVariants:
    def test_the_papers_58_and_those_of_our_own_are_named_once(self) -> None:
        made = variants(("q4_0", "q8_0"))
        counts = {family: sum(one.family is family for one in made) for family in Family}
        assert counts == {Family.NOISE: 16, Family.SMALLEST: 11, Family.RANDOM: 11, Family.TUNING: 10, Family.LORA: 10,
                          Family.REQUANTISED: 2, Family.FEW: 10, Family.STEPS: 0}  # fmt: skip
        assert len({one.name for one in made}) == 70
        assert all(one.name.replace("-", "").replace("_", "").isalnum() for one in made)

    def test_the_finest_of_every_family_come_first(self) -> None:
        made = variants(("q4_0", "q8_0"))
        assert {one.family for one in made[:7]} == set(Family) - {Family.STEPS}
        assert Variant(Family.TUNING, "1 steps", 1) in made[:7]
        assert Variant(Family.REQUANTISED, "q8_0", 1) in made[:7]

    def test_fine_levels_are_named_once_and_what_is_trained_comes_last(self) -> None:
        made = fine_variants(("q8_0", "bf16"))
        assert len({one.name for one in made}) == len(made)
        assert all(one.name.replace("-", "").replace("_", "").isalnum() for one in made)
        trained = [one.family in {Family.TUNING, Family.LORA} for one in made]
        assert trained == sorted(trained)
        assert {one.family for one in made} == set(Family) - {Family.NOISE, Family.FEW}
        assert made[0].amount == 0.09

    def test_each_has_its_own_randomness_whichever_others_are_made(self) -> None:
        first, second = variants(())[:2]
        assert first.chance(0) != second.chance(0)
        assert first.chance(0) != first.chance(1)


class TestEdits:
    VALUES = np.linspace(-1, 1, 1000, dtype=np.float16).reshape(20, 50)

    def test_noise_has_the_deviation_and_keeps_the_type(self) -> None:
        found = noisy(self.VALUES, 0.25, np.random.default_rng(0))
        assert found.dtype == np.float16
        assert np.std(found.astype(float) - self.VALUES) == pytest.approx(0.25, rel=0.1)

    def test_a_step_is_the_next_number_in_half_precision(self) -> None:
        values = np.array([0.5, -0.5, 0.0, 6e-8, -6e-8, 100.0] * 2000, np.float16)
        found = stepped(values, 1.0, np.random.default_rng(0))
        assert found.dtype == np.float16
        for value in (0.5, -0.5, 100.0):
            moved = (found[values == np.float16(value)].astype(float) - value) / float(
                np.spacing(np.float16(abs(value)))
            )
            # Below a power of two numbers lie twice as close: half a step there is a whole one of their own.
            assert np.abs(np.round(moved * 2) - moved * 2).max() < 1e-6
            assert 0.6 < np.std(moved) < 1.2
        assert np.abs(found[np.abs(values) < 1e-6].astype(float)).max() < 1e-6, (
            "near zero steps are as small as numbers get"
        )
        assert np.array_equal(stepped(values, 0.01, np.random.default_rng(0)), values), "less than half a step is none"

    def test_the_smallest_share_becomes_zero(self) -> None:
        found = without_smallest(self.VALUES, 0.25)
        assert (found == 0).sum() == 250
        assert np.abs(self.VALUES[found == 0]).max() <= np.abs(found[found != 0]).min()
        assert np.array_equal(without_smallest(self.VALUES, 0.0001), self.VALUES)

    def test_a_random_share_becomes_zero_whatever_its_size(self) -> None:
        found = without_some(self.VALUES, 0.5, np.random.default_rng(0))
        assert (found == 0).sum() == 500
        assert np.abs(self.VALUES[found == 0]).max() > 0.9

    def test_of_less_than_one_weight_one_is_pruned_now_and_then(self) -> None:
        chance = np.random.default_rng(0)
        counts = [int((without_some(self.VALUES, 0.00025, chance) == 0).sum()) for _ in range(200)]
        assert set(counts) == {0, 1}
        assert sum(counts) / 200 == pytest.approx(0.25, abs=0.08)

    def test_pruning_leaves_all_but_the_mlp_as_it_is(self) -> None:
        chance = np.random.default_rng(0)
        pruned = Variant(Family.SMALLEST, "2^-1", 0.5)
        assert edited(self.VALUES, pruned, in_mlp=False, chance=chance) is None
        assert edited(self.VALUES, pruned, in_mlp=True, chance=chance) is not None
        assert edited(self.VALUES, Variant(Family.NOISE, "2^-1", 0.5), in_mlp=False, chance=chance) is not None


class TestNetwork:
    def test_the_gradients_are_the_losses_slopes(self, start: dict[str, Any]) -> None:
        chance = np.random.default_rng(1)
        sample = (chance.integers(0, 7, (3, CONTEXT)), chance.integers(0, 7, 3))
        slopes = gradient(start, sample)
        assert slopes.keys() == start.keys()
        for name, value in start.items():
            place = tuple(int(chance.integers(0, size)) for size in value.shape)
            if name == "letters":
                place = (int(sample[0][0, -1]), 0)
            step = np.zeros_like(value)
            step[place] = 1e-5
            slope = (loss({**start, name: value + step}, sample) - loss({**start, name: value - step}, sample)) / 2e-5
            assert slopes[name][place] == pytest.approx(slope, rel=1e-3, abs=1e-7), name

    def test_training_lowers_the_loss(self) -> None:
        text = np.tile(np.arange(7), 60)
        learnt = trained(text, 7, 0)
        sample = next(single_samples(text, 0))
        assert loss(learnt, sample) < 0.1
        assert forward(learnt, sample[0])["logits"].shape == (1, 7)


class TestTuning:
    def test_one_step_of_fine_tuning_goes_down_the_slope(self, start: dict[str, Any]) -> None:
        sample = (np.arange(CONTEXT)[None] % 7, np.array([3]))
        steps = list(fine_tuned(start, gradient, [sample] * 3, 0.05))
        assert [step for step, _ in steps] == [1, 2, 3]
        losses = [loss({**start, **found}, sample) for _, found in steps]
        assert loss(start, sample) > losses[0] > losses[2]

    def test_lora_moves_its_matrices_by_a_product_of_low_rank_and_nothing_else(self, start: dict[str, Any]) -> None:
        sample = (np.arange(CONTEXT)[None] % 7, np.array([3]))

        def attention(now: Any, one: Any) -> dict[str, Any]:
            return {name: gradient(now, one)[name] for name in ATTENTION}

        *_, (_, found) = lora_tuned(start, attention, [sample] * 5, 0.5, seed=0)
        assert found.keys() == set(ATTENTION)
        assert loss({**start, **found}, sample) < loss(start, sample)
        for name in ATTENTION:
            assert 0 < np.linalg.matrix_rank(found[name] - start[name], tol=1e-9) <= RANK


class TestStatistics:
    def test_auc_counts_ties_half(self) -> None:
        assert auc(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == 0.875
        assert auc(np.zeros(5), np.zeros(3)) == 0.5

    def test_the_interval_holds_the_mean(self) -> None:
        chance = np.random.default_rng(0)
        null = chance.normal(0, 1, 200)
        tests = [VariantScores(null, chance.normal(shift, 1, 200)) for shift in (0.0, 1.0, 3.0)]
        found = interval(tests, 200, 0)
        assert 0.4 < found.low < found.value < found.high < 1.0

    def test_the_lead_of_a_detector_is_surer_than_the_difference_of_two_intervals(self) -> None:
        chance = np.random.default_rng(0)
        null = chance.normal(0, 1, 200)
        shifts = np.linspace(0, 3, 12)
        first, second = (
            [VariantScores(null, chance.normal(shift + more, 1, 200)) for shift in shifts] for more in (0.0, 0.5)
        )
        lead = interval(second, 300, 0, less=first)
        assert lead.value == pytest.approx(interval(second, 3, 0).value - interval(first, 3, 0).value)
        assert 0 < lead.low < lead.value < lead.high
        apart = interval(second, 300, 0).low - interval(first, 300, 0).high
        assert lead.low > apart

    def test_mmd_is_the_unbiased_estimate(self) -> None:
        chance = np.random.default_rng(0)
        kernel = np.eye(6) + chance.random((6, 6))
        kernel = (kernel + kernel.T) / 2
        np.fill_diagonal(kernel, 1.0)
        a, b = [0, 1, 2], [3, 4, 5]
        within = sum(kernel[i, j] for one in (a, b) for i in one for j in one if i != j) / 6
        between = sum(kernel[i, j] for i in a for j in b) / 9
        assert _mmd(kernel, np.array([a]), np.array([b]))[0] == pytest.approx(within - 2 * between)

    def test_every_detector_sees_a_large_change_and_none_its_absence(self) -> None:
        original = recording(0, rows=270, samples=16)
        changed = {"same": recording(1, rows=20, samples=8), "other": recording(2, rows=20, samples=8, shift=-1.0)}
        for name, one in detectors.examined(original, changed, SIZES, 0).items():
            assert len(one.null) == SIZES.tests, name
            assert auc(one.null, one.changed["other"]) > 0.99, name
            assert 0.1 < auc(one.null, one.changed["same"]) < 0.9, name

    def test_the_same_seed_draws_the_same_tests(self) -> None:
        original, changed = recording(0, rows=270, samples=16), {"other": recording(2, rows=20, samples=8)}
        first, second = (detectors.examined(original, changed, SIZES, 3) for _ in range(2))
        assert all(np.array_equal(first[name].changed["other"], second[name].changed["other"]) for name in first)

    def test_a_hard_variant_is_seen_by_some_and_not_at_once_by_all(self) -> None:
        areas = {
            "LT": {"gone": 1.0, "hard": 0.7, "none": 0.5},
            "lt-ref": {"gone": 1.0, "hard": 1.0, "none": 0.55},
            "Mahalanobis": {"gone": 0.99, "hard": 0.8, "none": 0.5},
        }
        assert hard_variants(areas, ("gone", "hard", "none")) == ["hard"]


class TestMoreNoise:
    def test_every_logprob_gets_its_own_and_rows_stay_rows(self) -> None:
        plain = recording(0, rows=200, samples=2)
        noisy = with_noise(1.0, plain, 0, "a")
        assert (np.diff(noisy.logprobs, axis=1) <= 0).all()
        assert (noisy.logprobs <= 0).all()
        moved = [
            dict(zip(a.tokens, a.logprobs, strict=True))[token] - logprob
            for a, b in zip(noisy.rows, plain.rows, strict=True)
            for token, logprob in list(zip(b.tokens, b.logprobs, strict=True))[3:]
        ]
        assert np.std(moved) == pytest.approx(1.0, abs=0.1)
        assert with_noise(1.0, plain, 0, "a").rows == noisy.rows
        assert with_noise(1.0, plain, 0, "b").rows != noisy.rows

    def test_a_second_answer_comes_at_its_rate_and_is_the_same_each_time(self) -> None:
        plain = recording(0, rows=1, samples=2)
        many = replace(plain, tokens=plain.tokens.repeat(2000, axis=0), logprobs=plain.logprobs.repeat(2000, axis=0))
        found = with_second_answer(0.04, 0.02, many, 0, "a")
        answers, counts = np.unique(found.logprobs, axis=0, return_counts=True)
        assert len(answers) == 2
        assert counts.min() / 2000 == pytest.approx(0.04, abs=0.015)
        assert 0.003 < np.abs(answers[0] - answers[1]).mean() < 0.06
        shifted = with_second_answer(0.04, 0.02, replace(many, logprobs=many.logprobs - np.float32(1e-4)), 0, "a")
        moves, others = (np.ptp(np.unique(one.logprobs, axis=0), axis=0) for one in (found, shifted))
        assert moves != pytest.approx(others, abs=1e-3), "another model moves in another way"

    def test_a_model_that_no_edit_has_changed_has_the_second_answer_of_the_original(self) -> None:
        plain = recording(0, rows=1, samples=2)
        many = replace(plain, tokens=plain.tokens.repeat(500, axis=0), logprobs=plain.logprobs.repeat(500, axis=0))
        original, same = (with_second_answer(0.04, 0.02, many, 0, name) for name in ("", "a"))
        assert {row.logprobs for row in same.rows} == {row.logprobs for row in original.rows}
        assert same.rows != original.rows, "it comes on other rows"


class TestCost:
    def test_a_probe_costs_what_the_paper_says(self) -> None:
        assert cost(LT, SIZES, {"probe": 1.4})["usd_per_year"] == pytest.approx(0.142, abs=0.0005)

    def test_baselines_pay_for_every_prompt_and_sample(self) -> None:
        lengths = {"probe": 1.0, "completion": 5.0, "question": 100.0}
        assert cost(MET, SIZES, lengths)["tokens_out"] == SIZES.prompts * SIZES.met_samples * SIZES.tokens
        assert cost(QUESTIONS, SIZES, lengths)["tokens_in"] == SIZES.questions * SIZES.answers * 100


class TestRecording:
    def test_a_recording_comes_back_as_it_was(self, tmp_path: Path) -> None:
        made = recording(0, rows=4, samples=2)
        made.save(tmp_path / "deep" / "one.npz")
        again = Recording.load(tmp_path / "deep" / "one.npz")
        assert again.rows == made.rows
        assert np.array_equal(again.completions, made.completions)
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["one.npz"]

    def test_a_stopped_run_goes_on_with_what_is_missing(self, tmp_path: Path) -> None:
        every = variants(())[:4]

        class Interrupted:
            name, variants = "a", every

            def __init__(self, budget: int) -> None:
                self.left, self.asked = budget, list[str]()

            def record(self, variant: Variant | None, part: Part = Part.ALL) -> Recording:
                if not self.left:
                    raise KeyboardInterrupt
                self.left -= 1
                self.asked.append("original" if variant is None else variant.name)
                return recording(0, rows=4, samples=2)

            def noise(self) -> list[dict[str, Any]]:
                return []

            def prompt_tokens(self) -> dict[str, float]:
                return {}

            def close(self) -> None:
                raise AssertionError("nobody is done")

        first, second = Interrupted(3), Interrupted(9)
        with pytest.raises(KeyboardInterrupt):
            recorded(first, every, tmp_path, print)
        _, found = recorded(second, every, tmp_path, print)
        assert first.asked == ["original", *(one.name for one in islice(every, 2))]
        assert second.asked == [one.name for one in every[2:]]
        assert list(found) == [one.name for one in every]

    def test_the_probes_of_all_come_before_the_texts_of_any(self, tmp_path: Path) -> None:
        every = variants(())[:2]
        asked = list[tuple[str, Part]]()

        class Parted:
            name, variants = "a", every

            def record(self, variant: Variant | None, part: Part = Part.ALL) -> Recording:
                asked.append(("original" if variant is None else variant.name, part))
                made = recording(0, rows=4, samples=2)
                empty = np.zeros((0, 0))
                return replace(made, completions=empty, right=empty) if part is Part.PROBES else made

            def noise(self) -> list[dict[str, Any]]:
                return []

            def prompt_tokens(self) -> dict[str, float]:
                return {}

            def close(self) -> None:
                pass

        first, second = (one.name for one in every)
        original, changed = recorded(Parted(), every, tmp_path, print, (Part.PROBES,))
        assert not original.completions.size
        assert not changed[first].completions.size
        original, changed = recorded(Parted(), every, tmp_path, print, (Part.PROBES, Part.TEXTS))
        assert original.completions.size
        assert changed[second].completions.size
        names = ["original", first, second]
        assert asked == [(name, part) for part in (Part.PROBES, Part.TEXTS) for name in names]
