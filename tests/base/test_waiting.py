"""Threads that wait for each other sleep soon, unless the user has said otherwise."""

from __future__ import annotations

import os

import pytest

from scratchlm import cli
from scratchlm.base.waiting import SPINS, wait_briefly


def test_commands_that_train_let_waiting_threads_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: True)
    monkeypatch.setattr(cli, "_dispatch", lambda *_: None)
    cli.main(["chat"])
    assert os.environ == {}
    cli.main(["pretrain"])
    assert os.environ == {"GOMP_SPINCOUNT": str(SPINS)}


@pytest.mark.parametrize("given", [{"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}])
def test_what_the_user_has_set_stays(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(given))
    wait_briefly()
    assert os.environ == given
