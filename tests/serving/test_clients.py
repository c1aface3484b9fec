"""Other clients of OpenAI's API against the real server, each in a process of its own, as its users run it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from served import Server

pytestmark = pytest.mark.slow
QUESTION = "Where is the key?"
ASKED = {"max_tokens": 30, "seed": 4, "temperature": 0.9}

LITELLM = """
import json, sys
import litellm

asked = json.loads(sys.argv[2]) | {"messages": [{"role": "user", "content": sys.argv[3]}]}
reached = {"model": "openai/talker", "api_base": sys.argv[1], "api_key": "none"}
whole = litellm.completion(**reached, **asked).choices[0].message.content
parts = litellm.completion(**reached, **asked, stream=True)
streamed = "".join(part.choices[0].delta.content or "" for part in parts)
print(json.dumps({"whole": whole, "streamed": streamed}))
"""

LANGCHAIN = """
import json, sys
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

reached = {"model": "talker", "base_url": sys.argv[1], "api_key": "none"}
model = ChatOpenAI(**reached, **json.loads(sys.argv[2]))
whole = model.invoke(sys.argv[3]).content
streamed = "".join(part.content for part in model.stream(sys.argv[3]))
embeddings = OpenAIEmbeddings(**reached, check_embedding_ctx_length=False).embed_documents(["one key", "two foxes"])
print(json.dumps({"whole": whole, "streamed": streamed, "embeddings": embeddings}))
"""


def answers_of(package: str, program: str, server: Server) -> dict[str, Any]:
    """What a program that uses another client prints, as JSON."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")
    run = subprocess.run(
        [sys.executable, "-c", program, f"{server.url}/v1", json.dumps(ASKED), QUESTION],
        capture_output=True, text=True, timeout=300,
        env=os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},  # or it asks the network for a table
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return dict(json.loads(run.stdout.splitlines()[-1]))


def own_answer(server: Server) -> str | None:
    asked = {"messages": [{"role": "user", "content": QUESTION}], **ASKED}
    return server.client().chat.completions.create(model="talker", **asked).choices[0].message.content  # type: ignore[call-overload, no-any-return]


def test_litellm_gets_what_the_official_client_gets(server: Server) -> None:
    own = own_answer(server)
    assert answers_of("litellm", LITELLM, server) == {"whole": own, "streamed": own}


def test_langchain_gets_what_the_official_client_gets(server: Server) -> None:
    own = own_answer(server)
    found = answers_of("langchain_openai", LANGCHAIN, server)
    assert (found["whole"], found["streamed"]) == (own, own)
    official = server.client().embeddings.create(model="talker", input=["one key", "two foxes"])
    assert found["embeddings"] == [row.embedding for row in official.data]
