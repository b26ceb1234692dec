"""The real model's side of the benchmark, without its weights: files, forward pass, and how requests are served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.tinychange.real import files, gemma, gradients, smollm2
from benchmarks.tinychange.real.models import MODELS
from benchmarks.tinychange.real.server import RealServer, Situation, _drawn, _shares
from benchmarks.tinychange.real.training import TEXT, samples
from streams.sandbox import extras


class TestServer:
    @staticmethod
    def fake(companies: tuple[int, ...] | None = None) -> tuple[RealServer, list[tuple[str, str, Situation]]]:
        server = RealServer.__new__(RealServer)
        server._answered, server._companies, asked = {}, companies, []

        def answer(before: str, text: str, situation: Situation) -> Any:
            asked.append((before, text, situation))
            return np.arange(4, dtype=np.float32)

        server.tokens = lambda text: list(range(len(text)))  # type: ignore[method-assign]
        server.answer = answer  # type: ignore[method-assign]
        return server, asked

    def test_every_kind_of_situation_is_asked_once_in_the_smallest_batch_of_its_kind(self) -> None:
        server, asked = self.fake()
        chance = np.random.default_rng(0)
        for _ in range(300):
            server.log_probs("x", chance)
        found = {(situation.cached, situation.company) for _, _, situation in asked}
        assert len(asked) == 6
        # The batch fills 32 or 64 tokens with the probe's own: one, or with what begins the prompt two.
        assert found == {(True, 0), (True, 31), (True, 63), (False, 0), (False, 30), (False, 62)}

    def test_where_company_is_given_no_other_is_asked(self) -> None:
        server, asked = self.fake((7, 8))
        chance = np.random.default_rng(0)
        for _ in range(300):
            server.log_probs("x", chance)
        found = [(situation.cached, situation.company) for _, _, situation in asked]
        assert sorted(found) == [(cached, company) for cached in (False, True) for company in (0, 7, 8)]

    def test_a_prompt_with_a_cached_beginning_has_no_company(self) -> None:
        server, asked = self.fake()
        chance = np.random.default_rng(0)
        for _ in range(20):
            server.log_probs("a question", chance, "examples")
        assert asked == [("examples", "a question", Situation(True, 0))]

    def test_tokens_are_drawn_by_their_probability(self) -> None:
        chance = np.random.default_rng(0)
        shares = _shares(np.log(np.array([0.1, 0.0001, 0.6, 0.3], np.float32)))
        drawn = np.bincount([_drawn(shares, chance) for _ in range(4000)], minlength=4) / 4000
        assert drawn == pytest.approx([0.1, 0.0, 0.6, 0.3], abs=0.03)


class TestSamples:
    def test_texts_have_one_length_and_each_is_seen_before_one_comes_again(self) -> None:
        found = samples(range(3 * TEXT + 2), begin=99, count=5, seed=0)
        assert [len(one) for one in found] == [TEXT + 1] * 5
        assert all(one[0] == 99 for one in found)
        assert {int(one[1]) for one in found[:3]} == {0, TEXT, 2 * TEXT}


class TestFiles:
    def test_an_edited_copy_is_written_over_and_leaves_the_rest_as_it_is(self, tmp_path: Path) -> None:
        gguf = pytest.importorskip("gguf")
        writer = gguf.GGUFWriter(tmp_path / "half.gguf", "gemma3")
        for number, name in enumerate(("blk.0.ffn_up.weight", "blk.0.attn_q.weight")):
            writer.add_tensor(name, np.full((4, 32), number + 1, np.float16))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

        def edited(part: str) -> dict[str, Any]:
            copy = files.edited_copy(
                tmp_path / "half.gguf",
                tmp_path / "copy.gguf",
                lambda name, values: values * 8 if part in name else None,
            )
            return {name: float(value.mean()) for name, value in files.weights(copy).items()}

        assert edited("ffn") == {"blk.0.ffn_up.weight": 8.0, "blk.0.attn_q.weight": 2.0}
        assert edited("attn") == {"blk.0.ffn_up.weight": 1.0, "blk.0.attn_q.weight": 16.0}

    def test_an_edit_in_place_is_seen_by_who_has_the_file_mapped_and_undone_by_the_next(self, tmp_path: Path) -> None:
        gguf = pytest.importorskip("gguf")
        writer = gguf.GGUFWriter(tmp_path / "half.gguf", "gemma3")
        for name in ("blk.0.ffn_up.weight", "blk.0.attn_q.weight"):
            writer.add_tensor(name, np.ones((4, 32), np.float16))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        copy = files.EditedInPlace(tmp_path / "half.gguf", tmp_path / "copy.gguf")
        mapped = np.memmap(copy.path, mode="r")
        before = bytes(mapped)
        copy.edit(lambda name, values: values * 8 if "ffn" in name else None)
        assert {float(one.mean()) for one in files.weights(copy.path).values()} == {1.0, 8.0}
        assert bytes(mapped) != before
        copy.edit(lambda _name, _values: None)
        assert bytes(mapped) == before

    def test_what_is_missing_is_said_in_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(extras, "find_spec", lambda _name: None)
        for model in MODELS.values():
            assert model.missing == "the benchmark needs gguf and jax: pip install 'hedgerow[tinychange]'"


class TestForward:
    LETTERS = 11

    @pytest.fixture
    def weights(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        pytest.importorskip("jax")
        for name, value in {"LAYERS": 2, "WIDTH": 24, "HEADS": 2, "HEAD": 8}.items():
            monkeypatch.setattr(gemma, name, value)
        shapes: dict[str, tuple[int, ...]] = {"token_embd": (self.LETTERS, 24), "output_norm": (24,)}
        for layer in range(2):
            shapes |= {
                f"blk.{layer}.{name}": shape
                for name, shape in {
                    "attn_q": (16, 24), "attn_k": (8, 24), "attn_v": (8, 24), "attn_output": (24, 16), "attn_norm": (24,),
                    "attn_q_norm": (8,), "attn_k_norm": (8,), "post_attention_norm": (24,), "ffn_norm": (24,),
                    "ffn_gate": (32, 24), "ffn_up": (32, 24), "ffn_down": (24, 32), "post_ffw_norm": (24,),
                }.items()
            }  # fmt: skip
        chance = np.random.default_rng(0)
        return gradients.on_device({
            f"{name}.weight": chance.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()
        })  # fmt: skip

    def test_no_token_sees_a_later_one(self, weights: dict[str, Any]) -> None:
        first = np.asarray(gemma.logits_of(weights, np.array([1, 2, 3, 4])))
        second = np.asarray(gemma.logits_of(weights, np.array([1, 2, 3, 9])))
        assert first.shape == (4, self.LETTERS)
        assert np.allclose(first[:3], second[:3], atol=1e-5)
        assert not np.allclose(first[3], second[3], atol=1e-2)

    def test_positions_matter(self, weights: dict[str, Any]) -> None:
        found = np.asarray(gemma.logits_of(weights, np.array([1, 2, 3])))
        turned = np.asarray(gemma.logits_of(weights, np.array([2, 1, 3])))
        assert not np.allclose(found[2], turned[2], atol=1e-3)

    def test_the_gradient_goes_down_the_loss_of_the_trained_tensors_alone(self, weights: dict[str, Any]) -> None:
        tokens = np.array([1, 2, 3, 4])
        found = gradients.gradient(gemma.logits_of, ["blk.1.attn_q.weight", "blk.0.ffn_up.weight"])(weights, tokens)
        assert found.keys() == {"blk.1.attn_q.weight", "blk.0.ffn_up.weight"}

        def loss(now: dict[str, Any]) -> float:
            logits = np.asarray(gemma.logits_of(now, tokens[:-1]), np.float64)
            following = logits[np.arange(3), tokens[1:]]
            return float((np.log(np.exp(logits).sum(axis=1)) - following).mean())

        stepped = {**weights, **{name: weights[name] - 1e-3 * value for name, value in found.items()}}
        expected = -1e-3 * sum(float((value**2).sum()) for value in found.values())
        assert loss(stepped) - loss(weights) == pytest.approx(expected, rel=0.05)


class TestSmolLM2:
    @pytest.fixture
    def weights(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        pytest.importorskip("jax")
        for name, value in {"LAYERS": 2, "HEADS": 4, "KEYS": 2, "HEAD": 6}.items():
            monkeypatch.setattr(smollm2, name, value)
        shapes: dict[str, tuple[int, ...]] = {"token_embd": (9, 24), "output_norm": (24,)}
        for layer in range(2):
            shapes |= {
                f"blk.{layer}.{name}": shape
                for name, shape in {
                    "attn_q": (24, 24), "attn_k": (12, 24), "attn_v": (12, 24), "attn_output": (24, 24),
                    "attn_norm": (24,), "ffn_norm": (24,), "ffn_gate": (32, 24), "ffn_up": (32, 24), "ffn_down": (24, 32),
                }.items()
            }  # fmt: skip
        chance = np.random.default_rng(0)
        return gradients.on_device({
            f"{name}.weight": chance.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()
        })  # fmt: skip

    def test_no_token_sees_a_later_one_and_positions_matter(self, weights: dict[str, Any]) -> None:
        first, second, turned = (
            np.asarray(smollm2.logits_of(weights, np.array(tokens)))
            for tokens in ([1, 2, 3, 4], [1, 2, 3, 8], [2, 1, 3, 4])
        )
        assert np.allclose(first[:3], second[:3], atol=1e-5)
        assert not np.allclose(first[3], second[3], atol=1e-2)
        assert not np.allclose(first[2], turned[2], atol=1e-3)

    def test_it_has_gradients(self, weights: dict[str, Any]) -> None:
        found = gradients.gradient(smollm2.logits_of, ["blk.1.attn_k.weight"])(weights, np.array([1, 2, 3]))
        assert found["blk.1.attn_k.weight"].shape == (12, 24)
        assert float(np.abs(found["blk.1.attn_k.weight"]).max()) > 0
