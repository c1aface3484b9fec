"""An OpenAI-compatible endpoint: messages out, one answer back. Any server that speaks the protocol will do.

The key, where the server wants one, is taken from the environment variable SCRATCHLM_API_KEY and from nowhere else.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scratchlm.base.errors import UserError

ATTEMPTS = 4
PAUSE = 1.0
"""Seconds before the second attempt, doubled before each further one."""
TIMEOUT = 120.0
"""Seconds."""
BUSY = (408, 429, 500, 502, 503, 504)
"""Answers after which another attempt may succeed."""


@dataclass(frozen=True)
class Endpoint:
    """A chat model behind an address such as http://127.0.0.1:8080/v1."""

    url: str
    model: str = "default"
    pause: float = PAUSE

    def ask(self, messages: Sequence[Mapping[str, str]], *, temperature: float = 0.0, max_tokens: int = 512) -> str:
        """Return the answer to a conversation.

        Raises `UserError` where the endpoint cannot be reached, refuses, or answers something else.
        """
        body = {
            "model": self.model,
            "messages": list(messages),
            "temperature": temperature,
            "max_tokens": max_tokens,
        }
        answer = self._post(f"{self.url.rstrip('/')}/chat/completions", body)
        try:
            return str(answer["choices"][0]["message"]["content"] or "")
        except (KeyError, IndexError, TypeError) as error:
            raise UserError(f"{self.url}: answered without a message; is it an OpenAI-compatible address?") from error

    def _post(self, url: str, body: Mapping[str, Any]) -> Any:
        key = os.environ.get("SCRATCHLM_API_KEY", "").strip()
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        last = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                request = urllib.request.Request(url, json.dumps(body).encode("utf-8"), headers)
                with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                    return json.loads(response.read().decode("utf-8"))
            except urllib.error.HTTPError as error:
                last = f"{error.code} {error.reason}"
                if error.code not in BUSY:
                    break
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                last = str(getattr(error, "reason", error))
            except ValueError as error:  # an address that is none, or an answer that is no JSON
                last = str(error)
                break
        raise UserError(f"{self.url}: {last}; check the address, the model's name and SCRATCHLM_API_KEY")
