"""An OpenAI-compatible endpoint: messages out, one answer back. Any server that speaks the protocol will do.

The key, where the server wants one, is taken from the environment variable SCRATCHLM_API_KEY and from nowhere else.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scratchlm.base.errors import UserError

RETRIES = 3  # after a broken connection or a busy server, each after a longer pause
TIMEOUT = 120.0  # seconds


@dataclass(frozen=True)
class Endpoint:
    """A chat model behind an address such as http://127.0.0.1:8080/v1."""

    url: str
    model: str = "default"

    def ask(self, messages: Sequence[Mapping[str, str]], *, temperature: float = 0.0, max_tokens: int = 512) -> str:
        """Return the answer to a conversation.

        Raises `UserError` where the endpoint cannot be reached, refuses, or answers something else.
        """
        said: Any = list(messages)
        with self._client() as client:
            answer = client.chat.completions.create(
                model=self.model, messages=said, temperature=temperature, max_tokens=max_tokens
            )
            return str(answer.choices[0].message.content or "")

    def stream(self, messages: Sequence[Mapping[str, str]], **settings: Any) -> Iterator[str]:
        """Yield the answer to a conversation as it comes; `settings` are those of the API. Raises as `ask` does."""
        said: Any = list(messages)
        with self._client() as client:
            for part in client.chat.completions.create(model=self.model, messages=said, stream=True, **settings):
                if part.choices and part.choices[0].delta.content:
                    yield part.choices[0].delta.content

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        """Connect; what goes wrong becomes a `UserError`."""
        try:
            from openai import OpenAI, OpenAIError
        except ImportError:
            raise UserError(f'{self.url}: asking needs openai; pip install "scratchlm[endpoint]"') from None
        key = os.environ.get("SCRATCHLM_API_KEY", "").strip() or "none"
        try:
            with OpenAI(
                base_url=self.url, api_key=key, organization="", project="", max_retries=RETRIES, timeout=TIMEOUT
            ) as client:
                yield client
        except (OpenAIError, ValueError) as error:
            why = " ".join(str(error.__cause__ or error).split())[:200]
            raise UserError(f"{self.url}: {why}; check the address, the model's name and SCRATCHLM_API_KEY") from error
        except (AttributeError, IndexError, TypeError) as error:
            raise UserError(f"{self.url}: answered without a message; is it an OpenAI-compatible address?") from error
