"""The page at `/`, as it is sent and as a browser shows it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from browser import browsing, needs_browser
from served import Server, serving

ASK = "document.getElementById('ask')"
READY = "!document.getElementById('send').disabled && document.activeElement.id === 'message'"
ENDED = "!document.querySelector('.writing')"


def test_the_page_needs_no_key_and_loads_nothing_from_elsewhere(models: Path) -> None:
    with serving(models / "talker", SCRATCHLM_API_KEY="secret") as server:
        for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
            answer = httpx.get(f"{server.url}{path}")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith(kind)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "//" not in answer.text.replace("// ", "")
        assert (
            "/page.js" not in httpx.get(f"{server.url}/openapi.json", headers={"Authorization": "Bearer secret"}).text
        )


@needs_browser
@pytest.mark.slow
def test_a_conversation_in_a_browser_is_the_one_of_the_api(server: Server, tmp_path: Path) -> None:
    asked = {"model": "caller", "messages": [{"role": "user", "content": "Where is the key?"}], "temperature": 0}
    expected = server.post("/v1/chat/completions", asked).json()["choices"][0]["message"]["content"]
    with browsing(tmp_path) as tab:
        tab.open(f"{server.url}/")
        tab.wait_for(READY)
        assert tab.run("[...document.getElementById('model').options].map((each) => each.text)") == ["talker", "caller"]
        tab.run("document.getElementById('model').value = 'caller'; document.getElementById('temperature').value = '0'")
        tab.write("Where is the key?")
        tab.press("Enter")
        tab.wait_for(f"document.querySelector('.assistant') && {ENDED}")
        assert tab.run("document.querySelector('.assistant p').textContent") == expected
        tab.run("document.getElementById('new').click()")
        assert tab.run("document.querySelectorAll('.turn').length") == 0
        tab.write("key " * 400)
        tab.press("Enter")
        tab.wait_for("!document.getElementById('error').hidden")
        assert "must be under the model's context of 256" in tab.run("document.getElementById('error').textContent")
        assert tab.run("document.getElementById('message').value") == "key " * 400  # nothing is lost
        tab.run("document.getElementById('message').value = 'again'")
        tab.press("Enter")
        tab.press("Escape")
        tab.wait_for(f"document.getElementById('stop').hidden && {READY}")
        tab.picture(tmp_path / "phone.png", 360, 640)
        assert tab.run("document.documentElement.scrollWidth") == 360
        assert not [each for each in tab.problems if "verbose" not in each and "status of 400" not in each]
    assert server.idle()


@needs_browser
@pytest.mark.slow
def test_the_page_asks_for_a_key_where_the_server_has_one(models: Path, tmp_path: Path) -> None:
    with serving(models / "talker", SCRATCHLM_API_KEY="secret") as server, browsing(tmp_path) as tab:
        tab.open(f"{server.url}/")
        for key in ("wrong", "secret"):
            tab.wait_for(f"{ASK}.hidden && document.activeElement.id === 'key'")
            tab.wait_for("document.getElementById('error').textContent.includes('the key is missing or wrong')")
            tab.write(key)
            tab.press("Enter")
            if key == "wrong":
                tab.wait_for("document.getElementById('key').value === ''")
        tab.wait_for(READY)
        tab.write("hi")
        tab.press("Enter")
        tab.wait_for(f"document.querySelector('.assistant p')?.textContent && {ENDED}")
        assert tab.run("document.getElementById('error').hidden")
