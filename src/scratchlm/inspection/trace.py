"""`trace`: one forward pass whose inner values are kept by name, and may be changed on the way.

The model is not touched: what looks and changes is a value that this pass alone is given (`model/hook.py`). So a
server can look inside a model that is writing for others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.base.memory import require_memory
from scratchlm.generation.language_model import LanguageModel
from scratchlm.inspection.edits import Edit, by_name
from scratchlm.inspection.points import chosen_points, points, size_of
from scratchlm.model.cache import KVCache
from scratchlm.model.decoder import Decoder
from scratchlm.model.hook import PATTERN
from scratchlm.model.lora import with_own_modules
from scratchlm.tokens.base import Tokenizer

Model: TypeAlias = LanguageModel | Decoder
BEGINNING = "hook_embed"
"""The value from which on others can be differentiated."""
Text: TypeAlias = str | Sequence[str] | Int[Tensor, "B T"]


class Trace(Mapping[str, Tensor]):
    """The values of a forward pass by their full names; `blocks.0.hook_resid_post` is (B, T, D).

    Of texts of unlike lengths the shorter ones are filled up at their end; `lengths` says how many positions are their
    own. What stands behind has no meaning.
    """

    def __init__(
        self, values: Mapping[str, Tensor], ids: Int[Tensor, "B T"], lengths: Sequence[int],
        tokenizer: Tokenizer | None = None,
    ) -> None:  # fmt: skip
        self._values = dict(values)
        self.ids, self.lengths = ids, list(lengths)
        self._tokenizer = tokenizer

    def __getitem__(self, name: str) -> Tensor:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def stack(self, name: str) -> Tensor:
        """Return a value of all layers that hold it, (L, ...): `stack("attn.hook_pattern")` is (L, B, H, T, S)."""
        of_layers = [value for each, value in self._values.items() if each.partition(".")[2].partition(".")[2] == name]
        if not of_layers:
            raise UserError(f"{name}: no layer of this trace holds it; name it in `want`")
        return torch.stack(of_layers)

    @property
    def logits(self) -> Float[Tensor, "B T V"]:
        """The scores of the next token."""
        return self["logits"]

    @property
    def pieces(self) -> list[list[str]]:
        """The text of each token; where a model without a tokenizer was traced, its id."""
        spell = str if self._tokenizer is None else self._spell
        return [[spell(id) for id in row] for row in self.ids.tolist()]

    def _spell(self, id: int) -> str:
        assert self._tokenizer is not None
        return spelling(self._tokenizer, id)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the values take."""
        return sum(each.nbytes for each in self._values.values())

    def __repr__(self) -> str:
        rows = [f"{name}  {tuple(value.shape)}" for name, value in self._values.items()]
        shown = rows if len(rows) <= 12 else [*rows[:6], f"... {len(rows) - 12} more ...", *rows[-6:]]
        return "\n".join(
            [f"<Trace of {self.ids.size(0)} x {self.ids.size(1)} tokens, {self.nbytes / 1e6:,.1f} MB>", *shown]
        )


def spelling(tokenizer: Tokenizer, id: int) -> str:
    """Return the text of a token; its number where a vocabulary is larger than its tokenizer."""
    return tokenizer.decode([id]) if id < len(tokenizer.table) else f"#{id}"


class _Recorder:
    """The hook of a trace: applies the edits of a value, then keeps it if it is wanted."""

    def __init__(
        self, wanted: Sequence[str], edits: Mapping[str, list[Edit]], axes: Mapping[str, str],
        real: Bool[Tensor, "B T"] | None,
    ) -> None:  # fmt: skip
        self._wanted, self._edits, self._axes, self._real = set(wanted), edits, axes, real
        self.values: dict[str, Tensor] = {}
        self.met: set[str] = set()

    def wants(self, name: str) -> bool:
        return name in self._wanted or name in self._edits

    def __call__(self, name: str, value: Tensor) -> Tensor:
        self.met.add(name)
        if name == BEGINNING and torch.is_grad_enabled():
            value = value.detach().requires_grad_()
        for edit in self._edits.get(name, ()):
            value = edit.apply(value, self._axes[name], self._real)
        if name in self._wanted:
            # A copy where the value is a view: what it is a view of may be large, or be written again.
            self.values[name] = value.clone() if value._is_view() and not torch.is_grad_enabled() else value
        return value


def trace(
    model: Model, text: Text, want: Sequence[str] = ("logits",), edit: Edit | Sequence[Edit] = (),
    cache: KVCache | None = None, *, differentiable: bool = False,
) -> Trace:  # fmt: skip
    """Read a text and return the named values of the forward pass, those after the edits.

    `want` are names as `points.py` lists them: in full, with wildcards, or `pattern` for all layers. `text` is a text,
    several, or ids (B, T). With a `cache`, ids continue what it holds. Watching changes no bit of the result, but of
    latent attention with a cache, which has a shorter form unwatched, the last ones. With `differentiable` the values
    can be differentiated by each other, from `hook_embed` on, and the last bits may differ too.

    Memory is that of the values: `Trace.nbytes`. Raises `UserError` for names, layers or heads that the model lacks,
    for an edit of another shape, for values that do not fit into memory, and for a text longer than the context.
    """
    decoder = _decoder(model)
    ids, lengths = _ids(model, text)
    edits = by_name(decoder, [edit] if isinstance(edit, Edit) else edit)
    wanted, known = chosen_points(decoder, want), points(decoder)
    before = 0 if cache is None else cache.length
    _require_room(decoder, ids, before)
    seen = before + ids.size(1)
    bytes_needed = sum(size_of(decoder, name, len(ids), ids.size(1), seen) for name in wanted) * decoder.dtype.itemsize
    require_memory(bytes_needed, f"a trace of {len(wanted)} values", "want fewer names, or trace a shorter text")
    real = None if min(lengths) == ids.size(1) else torch.arange(ids.size(1)) < torch.tensor(lengths)[:, None]
    recorder = _Recorder(wanted, edits, known, None if real is None else real.to(decoder.device))
    with torch.set_grad_enabled(differentiable):
        hidden = decoder.hidden(ids.to(decoder.device), cache, hook=recorder)
        if recorder.wants("logits"):
            recorder("logits", decoder.logits(hidden))
    unseen = [name for name in (*wanted, *edits) if name not in recorder.met]
    if unseen:
        raise UserError(f"{', '.join(unseen)}: a part of this model, not one of this package, does not show it")
    return Trace(recorder.values, ids, lengths, model.tokenizer if isinstance(model, LanguageModel) else None)


def _decoder(model: Model) -> Decoder:
    """Return the network as it answers now, without dropout."""
    decoder = model.answering()[0] if isinstance(model, LanguageModel) else model
    return with_own_modules(decoder).eval() if decoder.training else decoder


def _ids(model: Model, text: Text) -> tuple[Int[Tensor, "B T"], list[int]]:
    """Return the ids of texts, the shorter ones filled up at their end, and their lengths."""
    if isinstance(text, Tensor):
        if text.is_floating_point() or text.dtype == torch.bool:
            raise UserError(f"ids are of the kind {str(text.dtype)[6:]}: give whole numbers, as a tokenizer does")
        if text.dim() != 2 or not text.numel():
            raise UserError(
                f"ids have shape {tuple(text.shape)}: give texts by positions, (B, T), at least one of each"
            )
        return text, [text.size(1)] * len(text)
    if not isinstance(model, LanguageModel):
        raise UserError("text: a decoder has no tokenizer; give ids (B, T), or the model that `load` returns")
    rows = [model.prompt_ids(each) for each in ([text] if isinstance(text, str) else text)]
    if not rows:
        raise UserError("text: an empty list; give at least one text")
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[row[-1]] * (longest - len(row))] for row in rows]), [len(row) for row in rows]


def _require_room(decoder: Decoder, ids: Tensor, before: int) -> None:
    config = decoder.config
    if before + ids.size(1) > config.context:
        raise UserError(f"text: {before + ids.size(1):,} tokens; this model reads {config.context:,} at once")
    if ids.min() < 0 or ids.max() >= config.vocabulary_size:
        wrong = int(ids.min()) if ids.min() < 0 else int(ids.max())
        raise UserError(f"ids: {wrong} is not in the vocabulary of {config.vocabulary_size:,}")


def attention_maps(model: Model, text: Text, edit: Sequence[Edit] = ()) -> list[Float[Tensor, "B H T T"]]:
    """Return the attention weights of each layer, (B, H, T, T): query by key; rows sum to 1, later keys have 0.

    Needs memory for B * H * T * T numbers a layer. An attention of your own that overrides `Attention.attend` is asked
    for its weights: it must be a weighted sum of the values. The model is unchanged.
    """
    return list(trace(model, text, [PATTERN], edit).stack(PATTERN))


def layer_states(model: Model, text: Text) -> list[Float[Tensor, "B T D"]]:
    """Return the residual stream before the first block and after each block: L + 1 tensors of shape (B, T, D)."""
    return list(trace(model, text, ["blocks.0.hook_resid_pre", "hook_resid_post"]).values())
