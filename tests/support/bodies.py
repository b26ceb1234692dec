"""Response bodies of every provider's shape, written by hand and filled with given tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]


@dataclass
class Tok:
    """One token that was written, its probability, and what else was listed with which probability."""

    text: str
    p: float | None
    others: dict[str, float] = field(default_factory=dict)
    listed: bool = True
    """Whether the written token is in its own list."""

    @property
    def logprob(self) -> float | None:
        return None if self.p is None else math.log(self.p)

    @property
    def top(self) -> dict[str, float]:
        own = {self.text: self.p} if self.listed and self.p is not None else {}
        return {text: math.log(p) for text, p in {**own, **self.others}.items()}


def spelled(tokens: list[Tok]) -> str:
    return "".join(token.text for token in tokens)


def entries(tokens: list[Tok], **extra: Any) -> list[Body]:
    """Chat-shaped entries, with the fields that real servers add."""
    return [
        {
            "token": token.text,
            "logprob": token.logprob,
            "bytes": list(token.text.encode()),
            "top_logprobs": [
                {"token": text, "logprob": logprob, "bytes": list(text.encode()), **extra}
                for text, logprob in token.top.items()
            ],
            **extra,
        }
        for token in tokens
    ]


def parallel(tokens: list[Tok]) -> Body:
    """The legacy parallel lists, alternatives as a list of dicts."""
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [token.top for token in tokens],
        "text_offset": [len(spelled(tokens[:i])) for i in range(len(tokens))],
    }


def usage(tokens: list[Tok]) -> Body:
    return {"prompt_tokens": 120, "completion_tokens": len(tokens), "total_tokens": 120 + len(tokens)}


def chat(tokens: list[Tok], text: str | None = None, finish: str = "stop", **choice: Any) -> Body:
    """OpenAI chat completions."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": spelled(tokens) if text is None else text, "refusal": None},
                "logprobs": {"content": entries(tokens), "refusal": None},
                "finish_reason": finish,
                **choice,
            }
        ],
        "usage": usage(tokens),
        "system_fingerprint": "fp_44709d6fcb",
    }


def responses(tokens: list[Tok], text: str | None = None) -> Body:
    return {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "error": None,
        "model": "gpt-4.1-2025-04-14",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {
                "type": "message",
                "content": [
                    {
                        "type": "output_text",
                        "annotations": [],
                        "text": spelled(tokens) if text is None else text,
                        "logprobs": entries(tokens),
                    }
                ],
            },
        ],
        "usage": {"input_tokens": 120, "output_tokens": len(tokens)},
    }


def legacy(tokens: list[Tok], text: str | None = None, **logprobs: Any) -> Body:
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "model": "gpt-3.5-turbo-instruct",
        "choices": [
            {
                "index": 0,
                "text": spelled(tokens) if text is None else text,
                "logprobs": {**parallel(tokens), **logprobs},
                "finish_reason": "stop",
            }
        ],
        "usage": usage(tokens),
    }


def legacy_objects(tokens: list[Tok], text: str | None = None) -> Body:
    top = [[{"token": t, "logprob": lp} for t, lp in token.top.items()] for token in tokens]
    return legacy(tokens, text, top_logprobs=top)


def legacy_one_dict(tokens: list[Tok], text: str | None = None) -> Body:
    """The whole answer's alternatives as one dict, which is the first listed token's."""
    return legacy(tokens, text, top_logprobs=next((token.top for token in tokens if token.top), {}))


def together(tokens: list[Tok], text: str | None = None) -> Body:
    """Together's chat answers in the legacy lists."""
    body = chat(tokens, text, logprobs=parallel(tokens) | {"content": None})
    del body["system_fingerprint"]
    return body


def mistral(tokens: list[Tok], text: str | None = None) -> Body:
    body = chat(tokens, text)
    body["choices"][0]["logprobs"] = {"content": entries(tokens, token_id=7)}
    return body


def fireworks(tokens: list[Tok], text: str | None = None) -> Body:
    body = chat(tokens, text)
    extra = {"token_id": 7, "sampling_logprob": 0.0, "text_offset": 0}
    body["choices"][0]["logprobs"] = {"content": [{**entry, **extra} for entry in entries(tokens)]}
    return body


def deepseek(tokens: list[Tok], text: str | None = None) -> Body:
    """DeepSeek: tokens that were ruled out come back at -9999."""
    body = chat(tokens, text)
    body["choices"][0]["message"]["reasoning_content"] = None
    for entry in body["choices"][0]["logprobs"]["content"]:
        entry["top_logprobs"].append({"token": "zebra", "logprob": -9999.0, "bytes": None})
    return body


def vllm(tokens: list[Tok], text: str | None = None) -> Body:
    """vLLM with tokens as ids: only ``bytes`` says what they are."""
    body = chat(tokens, text)
    for number, entry in enumerate(body["choices"][0]["logprobs"]["content"]):
        entry["token"] = f"token_id:{1000 + number}"
        for place, item in enumerate(entry["top_logprobs"]):
            item["token"] = f"token_id:{2000 + place}"
    body["choices"][0] |= {"stop_reason": None, "token_ids": None}
    return body | {"prompt_logprobs": None, "kv_transfer_params": None}


def llama_completions(tokens: list[Tok], text: str | None = None) -> Body:
    """llama.cpp's ``/v1/completions``, which answers in the chat shape."""
    body = legacy(tokens, text)
    body["choices"][0]["logprobs"] = {"content": entries(tokens, id=1903)}
    return body | {"timings": {"prompt_ms": 10.0}}


def llama_native(tokens: list[Tok], text: str | None = None) -> Body:
    return {
        "index": 0,
        "content": spelled(tokens) if text is None else text,
        "stop": True,
        "model": "gemma-3-270m-q4_k_m.gguf",
        "tokens_predicted": len(tokens),
        "tokens_evaluated": 120,
        "stop_type": "eos",
        "completion_probabilities": entries(tokens, id=1903),
    }


def llama_after_sampling(tokens: list[Tok], text: str | None = None) -> Body:
    """llama.cpp with ``post_sampling_probs``: probabilities instead of logprobs."""
    rows = [
        {
            "token": token.text,
            "prob": token.p,
            "top_probs": [{"token": t, "prob": math.exp(lp)} for t, lp in top.items()],
        }
        for token, top in ((token, token.top) for token in tokens)
    ]
    return llama_native(tokens, text) | {"completion_probabilities": rows}


def llama_old(tokens: list[Tok], text: str | None = None) -> Body:
    """An older llama.cpp: the written token's own number is only in its list."""
    rows = [
        {"content": token.text, "probs": [{"tok_str": text, "prob": math.exp(lp)} for text, lp in token.top.items()]}
        for token in tokens
    ]
    return llama_native(tokens, text) | {"completion_probabilities": rows}


def ollama(tokens: list[Tok], text: str | None = None) -> Body:
    return {
        "model": "llama3.2",
        "message": {"role": "assistant", "content": spelled(tokens) if text is None else text},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 120,
        "eval_count": len(tokens),
        "logprobs": entries(tokens),
    }


def ollama_generate(tokens: list[Tok], text: str | None = None) -> Body:
    body = ollama(tokens, text)
    return {"response": body.pop("message")["content"], **body}


def gemini(tokens: list[Tok], text: str | None = None) -> Body:
    top = [[{"token": t, "tokenId": 7, "logProbability": lp} for t, lp in tok.top.items()] for tok in tokens]
    chosen = [{"token": token.text, "tokenId": 7, "logProbability": token.logprob} for token in tokens]
    return {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": spelled(tokens) if text is None else text}]},
                "finishReason": "STOP",
                "logprobsResult": {"chosenCandidates": chosen, "topCandidates": [{"candidates": row} for row in top]},
            }
        ],
        "modelVersion": "gemini-2.0-flash-001",
        "usageMetadata": {"promptTokenCount": 120, "candidatesTokenCount": len(tokens), "totalTokenCount": 130},
    }


def sglang(tokens: list[Tok], text: str | None = None) -> Body:
    """SGLang's ``/generate`` with ``return_text_in_logprobs``."""
    return {
        "text": spelled(tokens) if text is None else text,
        "meta_info": {
            "id": "1",
            "finish_reason": {"type": "stop", "matched": 2},
            "prompt_tokens": 120,
            "completion_tokens": len(tokens),
            "output_token_logprobs": [[token.logprob, 7, token.text] for token in tokens],
            "output_top_logprobs": [[[lp, 8, t] for t, lp in token.top.items()] for token in tokens],
        },
    }


def tgi(tokens: list[Tok], text: str | None = None) -> Body:
    """Text Generation Inference's ``/generate`` with ``details`` and ``top_n_tokens``."""
    extra = {"id": 7, "special": False}
    return {
        "generated_text": spelled(tokens) if text is None else text,
        "details": {
            "finish_reason": "eos_token",
            "generated_tokens": len(tokens),
            "prefill": [],
            "tokens": [{**extra, "text": token.text, "logprob": token.logprob} for token in tokens],
            "top_tokens": [[{**extra, "text": t, "logprob": lp} for t, lp in tok.top.items()] for tok in tokens],
        },
    }


def watsonx(tokens: list[Tok], text: str | None = None) -> Body:
    """watsonx's text generation with generated tokens, their logprobs and the likeliest."""
    rows = [
        {
            "text": token.text,
            "logprob": token.logprob,
            "rank": 1,
            "top_tokens": [{"text": t, "logprob": lp} for t, lp in token.top.items()],
        }
        for token in tokens
    ]
    result = {
        "generated_text": spelled(tokens) if text is None else text,
        "generated_token_count": len(tokens),
        "input_token_count": 120,
        "stop_reason": "eos_token",
        "generated_tokens": rows,
    }
    return {"model_id": "ibm/granite-3-8b-instruct", "results": [result]}


def vllm_by_id(tokens: list[Tok], text: str | None = None) -> Body:
    """Bedrock's imported models in vLLM's form: a dict by token id for each position, the written token first."""
    rows = []
    for number, token in enumerate(tokens):
        others = {t: lp for t, lp in token.top.items() if t != token.text}
        listed = [(token.text, token.logprob), *others.items()]
        rows.append(
            {
                str(100 * number + place): {"logprob": lp, "rank": place + 1, "decoded_token": t}
                for place, (t, lp) in enumerate(listed)
            }
        )
    return {
        "generation": spelled(tokens) if text is None else text,
        "prompt_token_count": 120,
        "generation_token_count": len(tokens),
        "stop_reason": "stop",
        "logprobs": rows,
    }


#: Every shape that shows the whole distribution at every token.
SHAPES: dict[str, Callable[..., Body]] = {
    "openai_chat": chat,
    "openai_responses": responses,
    "openai_completions": legacy,
    "legacy_list_of_objects": legacy_objects,
    "together_chat_in_legacy_lists": together,
    "together_chat": chat,
    "mistral": mistral,
    "fireworks": fireworks,
    "fireworks_legacy": legacy,
    "deepseek": deepseek,
    "xai": chat,
    "vllm_token_ids": vllm,
    "llama_cpp_chat": lambda tokens, text=None: chat(tokens, text, logprobs={"content": entries(tokens, id=1903)}),
    "llama_cpp_completions": llama_completions,
    "llama_cpp_native": llama_native,
    "llama_cpp_after_sampling": llama_after_sampling,
    "llama_cpp_old": llama_old,
    "ollama_chat": ollama,
    "ollama_generate": ollama_generate,
    "gemini": gemini,
    "sglang": sglang,
    "tgi": tgi,
    "watsonx": watsonx,
}


def cohere(text: str = "refund") -> Body:
    """Cohere v2: logprobs of what was written, never an alternative."""
    return {
        "id": "c1",
        "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": [{"type": "text", "text": text}]},
        "logprobs": [{"text": text, "token_ids": [7], "logprobs": [-0.01]}],
        "usage": {"billed_units": {"input_tokens": 100}, "tokens": {"input_tokens": 120, "output_tokens": 1}},
    }


def anthropic(text: str = "refund") -> Body:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 120, "output_tokens": 1},
    }
