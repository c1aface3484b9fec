"""torch.compile for training: one loop over memory where plain torch makes many, for a wait before the first step."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

from scratchlm.model.network import SequenceModel


@contextlib.contextmanager
def compiled_blocks(decoder: SequenceModel) -> Iterator[bool]:
    """Compile each block while the context lasts, all alike and so at the cost of one; yield whether it was done.

    A block still computes what it did, up to rounding, and its weights keep their names. Without a C++ compiler, which
    torch calls at run time on a CPU, nothing is changed and a warning says so. Where compiling fails at the first
    forward pass, a warning says that, and all blocks run plainly.
    """
    if decoder.device.type == "cpu" and not has_compiler():
        warnings.warn("no C++ compiler found: the run goes on uncompiled, more slowly; install g++", stacklevel=2)
        yield False
        return
    works = [True]
    for block in decoder.blocks:
        block.forward = _compiled_or_plain(block.forward, works)
    try:
        yield True
    finally:
        for block in decoder.blocks:
            del block.forward


def _compiled_or_plain(plain: Callable[..., Any], works: list[bool]) -> Callable[..., Any]:
    """Return a compiled form that becomes the plain one, as all with the same `works`, once compiling has failed."""
    from torch._dynamo.exc import BackendCompilerFailed  # a second to import, which only compiled runs need

    compiled = torch.compile(plain, dynamic=False)

    def forward(*arguments: Any, **named: Any) -> Any:
        if works[0]:
            try:
                return compiled(*arguments, **named)
            except BackendCompilerFailed as error:
                works[0] = False
                cause = type(error.inner_exception).__name__
                warnings.warn(f"torch.compile failed ({cause}): the run goes on uncompiled, more slowly", stacklevel=2)
        return plain(*arguments, **named)

    return forward


def uncompiled(compiled: bool) -> contextlib.AbstractContextManager[None]:
    """Return a context in which blocks, if `compiled`, run plainly: shapes met once are not worth compiling for."""
    return torch.compiler.set_stance("force_eager") if compiled else contextlib.nullcontext()


def has_compiler() -> bool:
    """Return whether a compiler that torch would call is on the path."""
    usual = ["cl"] if sys.platform == "win32" else ["g++", "clang++"]
    return any(map(shutil.which, [os.environ["CXX"]] if os.environ.get("CXX") else usual))
