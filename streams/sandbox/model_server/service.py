"""Models behind names, answering requests with bodies; knows nothing of HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from streams.sandbox.model_server.requests import ChatRequest, CompletionRequest, RequestRefused
from streams.sandbox.model_server.served import ServedModel
from streams.sandbox.model_server.wire import Body, Envelope, Spoken, chat_body, completion_body


class ModelService:
    """Answers chat and completion requests for the models it is given."""

    def __init__(
        self, models: Sequence[ServedModel], labels: Sequence[str], *, clock: Callable[[], float] = time.time
    ) -> None:
        self.labels = tuple(labels)
        self._models = tuple(models)
        self._by_name = {name: model for model in models for name in (model.alias, model.id)}
        self._clock = clock
        self._answers = 0

    @property
    def model_names(self) -> tuple[str, ...]:
        """Every name that a request may ask for: the aliases and the dated ids."""
        return tuple(self._by_name)

    def model(self, name: str) -> ServedModel:
        """Return the model of that alias or dated id. Raises RequestRefused (404) for any other name."""
        if name not in self._by_name:
            raise RequestRefused(404, f"The model '{name}' does not exist.", param="model", code="model_not_found")
        return self._by_name[name]

    async def chat(self, request: ChatRequest, model: ServedModel) -> Body:
        """Answer a chat request."""
        spoken = await model.chat(request)
        return chat_body(self._envelope("chatcmpl", model), spoken, logprobs=request.logprobs)

    async def complete(self, request: CompletionRequest, model: ServedModel) -> Body:
        """Answer a legacy completion request, with the prompts' own logprobs if an echo is asked for."""
        spoken: list[tuple[str, Spoken]] = [
            (prompt, await model.complete(prompt, request)) for prompt in request.prompts
        ]
        return completion_body(
            self._envelope("cmpl", model), spoken, echo=request.echo, logprobs=request.logprobs is not None
        )

    async def close(self) -> None:
        """Let go of what the models hold."""
        for model in self._models:
            await model.close()

    def _envelope(self, prefix: str, model: ServedModel) -> Envelope:
        self._answers += 1
        return Envelope(f"{prefix}-{self._answers:012d}", int(self._clock()), model.id)
