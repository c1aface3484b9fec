"""Other clients of OpenAI's API against the real server."""

from __future__ import annotations

import pytest

from served import Server

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # theirs
TALK = [{"role": "user", "content": "Where is the key?"}]


def test_litellm_gets_what_the_official_client_gets(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it asks the network for a table
    litellm = pytest.importorskip("litellm")
    asked = {"messages": TALK, "max_tokens": 30, "seed": 4, "temperature": 0.9}
    own = server.client().chat.completions.create(model="talker", **asked).choices[0].message.content
    reached = {"model": "openai/talker", "api_base": f"{server.url}/v1", "api_key": "none"}
    assert litellm.completion(**reached, **asked).choices[0].message.content == own
    parts = litellm.completion(**reached, **asked, stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == own


def test_langchain_gets_what_the_official_client_gets(server: Server) -> None:
    langchain = pytest.importorskip("langchain_openai")
    own = server.client().chat.completions.create(model="talker", messages=TALK, max_tokens=30, seed=4, temperature=0.9)
    model = langchain.ChatOpenAI(
        model="talker", base_url=f"{server.url}/v1", api_key="none", max_tokens=30, seed=4, temperature=0.9
    )
    assert model.invoke(TALK[0]["content"]).content == own.choices[0].message.content
    assert "".join(part.content for part in model.stream(TALK[0]["content"])) == own.choices[0].message.content
    embeddings = langchain.OpenAIEmbeddings(
        model="talker", base_url=f"{server.url}/v1", api_key="none", check_embedding_ctx_length=False
    )
    assert len(embeddings.embed_documents(["one key", "two foxes"])) == 2
