"""What a command takes: each field of its config, and of the parts in it, as one setting with a flag.

Nothing is written twice: the flag is the field's dotted name, its help is the string below the field, its type is the
field's. `flags.py` reads settings from a command line, `calls.py` from a Python call.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from scratchlm.config.field_docs import field_docs

T = TypeVar("T")


class Place(Enum):
    """How a field is given on a command line, if not by a flag of its own name."""

    FIRST = "without a name, by its place"
    FLAT = "a part whose settings are flags without the part's name"
    NOWHERE = "not at all"


@dataclasses.dataclass(frozen=True)
class Spelling:
    """How the help spells a setting."""

    metavar: str = ""
    """Words that stand for its value."""
    required: str = ""
    """When it must be given, where its type does not say so."""


Positional = Annotated[T, Place.FIRST]
Flat = Annotated[T, Place.FLAT]
Hidden = Annotated[T, Place.NOWHERE]
ModelFolder = Annotated[Path, Place.FIRST, Spelling("MODEL")]
"""A model that a command needs."""
Sources = Annotated[tuple[str, ...], Place.FIRST, Spelling("SOURCE [SOURCE ...]", "required: one or more")]
"""Texts that a command needs, one or more."""
Folder = Annotated[Path, Spelling("DIR")]
File = Annotated[Path, Spelling("FILE")]
FileUnlessResumed = Annotated[Path | None, Spelling("FILE", "required, except with --resume")]
"""A file that a new run needs and a resumed one knows."""
FolderUnlessResumed = Annotated[Path | None, Spelling("DIR", "required, except with --resume")]
FoldersUnlessResumed = Annotated[tuple[Path, ...], Spelling("DIR", "required, except with --resume")]
"""The same of one or more folders."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One value that a user can give."""

    path: str
    """Dotted name of the field."""
    flag: str
    """Flag, such as --training.batch-size; for one given by its place, its name."""
    hint: Any
    """Its type, without annotations; of a setting that several kinds of a part have, the union of theirs."""
    says: str
    """What the config says of it."""
    place: Place | None
    spelling: Spelling
    required: bool

    @property
    def many(self) -> bool:
        """Whether it may be given again for another value."""
        kinds = _kinds(self.hint)
        return any(typing.get_origin(each) is tuple and typing.get_args(each)[-1] is Ellipsis for each in kinds)

    @property
    def values(self) -> int:
        """Number of words that it takes: none for a switch, two for a pair."""
        fixed = [typing.get_args(each) for each in _kinds(self.hint) if typing.get_origin(each) is tuple]
        fixed = [each for each in fixed if each[-1] is not Ellipsis]
        return 0 if self.hint is bool else len(fixed[0]) if fixed else 1

    @property
    def metavar(self) -> str:
        """Words that stand for its value in the help."""
        word = self.spelling.metavar or _metavar(self.hint)
        return " ".join([word] * self.values) if self.values > 1 and " " not in word else word

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it can have, where they are few and named."""
        kinds = _kinds(self.hint)
        inner = [each for kind in kinds for each in (typing.get_args(kind)[:1] if _is_list(kind) else (kind,))]
        named = [typing.get_args(each) for each in inner if typing.get_origin(each) is Literal]
        return tuple(str(word) for words in named for word in words)


def settings(cls: Any, base: Any = None) -> list[Setting]:
    """Return every setting of a config class, those of its parts too.

    Where a part may be of several kinds, those of all kinds; with `base`, a config of the class, those of its kinds.
    """
    merged: dict[str, Setting] = {}
    for each in _walk(cls, base, "", "--"):
        same = merged.get(each.path)
        if same is None:
            merged[each.path] = each
        elif same.hint != each.hint:
            merged[each.path] = dataclasses.replace(same, hint=same.hint | each.hint)
    return list(merged.values())


def _walk(cls: Any, base: Any, path: str, flag: str) -> Iterator[Setting]:
    """Yield the settings below a part: `path` and `flag` are what its fields' names follow."""
    hints, docs = typing.get_type_hints(cls, include_extras=True), field_docs(cls)
    for field in dataclasses.fields(cls):
        marks = _marks(hints[field.name])
        place = next((each for each in marks if isinstance(each, Place)), None)
        if place is Place.NOWHERE:
            continue
        spelled = flag + field.name.replace("_", "-")
        parts = [each for each in _kinds(hints[field.name]) if dataclasses.is_dataclass(each)]
        value = getattr(base, field.name, None)
        if dataclasses.is_dataclass(value):
            parts = [type(typing.cast(Any, value))]
        if len([each for each in _kinds(hints[field.name]) if hasattr(each, "type")]) > 1:
            yield _kind_of_part(hints[field.name], path + field.name, spelled, docs[field.name])
        for part in parts:
            yield from _walk(part, value, f"{path}{field.name}.", flag if place is Place.FLAT else f"{spelled}.")
        if not parts:
            spelling = next((each for each in marks if isinstance(each, Spelling)), Spelling())
            required = field.default is field.default_factory is dataclasses.MISSING
            name = field.name if place is Place.FIRST else spelled
            yield Setting(
                path + field.name, name, _bare(hints[field.name]), docs[field.name], place, spelling, required
            )


def usual_values(cls: Any) -> types.SimpleNamespace:
    """Return the defaults of a config class; a field that has none is left out."""
    values = {each.name: each.default for each in dataclasses.fields(cls) if each.default is not dataclasses.MISSING}
    for each in dataclasses.fields(cls):
        if each.default_factory is not dataclasses.MISSING:
            values[each.name] = each.default_factory()
    return types.SimpleNamespace(**values)


def _kind_of_part(hint: Any, path: str, flag: str, says: str) -> Setting:
    """Return the setting that chooses which of several kinds a part is of."""
    kinds: Any = Literal.__getitem__(tuple(each.type for each in _kinds(hint) if hasattr(each, "type")))
    about = f"Kind of: {says}" if says else ""
    return Setting(f"{path}.type", f"{flag}.type", kinds, about, None, Spelling(), False)


def _marks(hint: Any) -> list[Any]:
    """Return what a type is annotated with, also within a union or a list."""
    within = [mark for part in typing.get_args(hint) if part is not Ellipsis for mark in _marks(part)]
    outer = getattr(hint, "__metadata__", ())
    return [*outer, *(mark for mark in within if mark not in outer)]


def _bare(hint: Any) -> Any:
    """Return a type without its annotations."""
    if typing.get_origin(hint) is Annotated:
        return _bare(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.Union[tuple(_bare(each) for each in typing.get_args(hint))]  # noqa: UP007 - made of a list
    if typing.get_origin(hint) is tuple:
        return tuple.__class_getitem__(
            tuple(each if each is Ellipsis else _bare(each) for each in typing.get_args(hint))
        )
    return hint


def _kinds(hint: Any) -> list[Any]:
    """Return the types of a union, or the one type, without None and without annotations."""
    bare = _bare(hint)
    union = typing.get_origin(bare) in (typing.Union, types.UnionType)
    return [each for each in (typing.get_args(bare) if union else (bare,)) if each is not type(None)]


def _is_list(hint: Any) -> bool:
    return typing.get_origin(hint) is tuple


def _metavar(hint: Any) -> str:
    words = {int: "N", float: "X", Path: "PATH", str: "TEXT", bool: "", Any: "VALUE"}
    spelled = []
    for each in _kinds(hint):
        arguments = typing.get_args(each)
        if typing.get_origin(each) is Literal:
            spelled.append("|".join(map(str, arguments)))
        elif _is_list(each):
            inner = _metavar(arguments[0])
            spelled.append(inner if arguments[-1] is Ellipsis else " ".join([inner] * len(arguments)))
        else:
            spelled.append(words.get(each, "VALUE"))
    return "|".join(dict.fromkeys(spelled))


def value_of(setting: Setting, words: list[str]) -> Any:
    """Return the words that follow a flag as its value. Raises `ValueError` with what was expected."""
    return _value(setting.hint, words)


def _value(hint: Any, words: list[str]) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _value_of_union(arguments, words)
    if _is_list(hint):
        kinds = [arguments[0]] * len(words) if arguments[-1] is Ellipsis else list(arguments)
        return tuple(_value(kind, [word]) for kind, word in zip(kinds, words, strict=True))
    word = words[-1]
    if origin is Literal:
        for each in arguments:
            if str(each) == word:
                return each
        raise ValueError(f"must be one of {', '.join(map(str, arguments))}")
    return _number(hint, word) if hint in (int, float) else _switch(word) if hint is bool else hint(word)


def _value_of_union(kinds: tuple[Any, ...], words: list[str]) -> Any:
    if type(None) in kinds and str not in kinds and words[-1].lower() == "none":
        return None
    problems = []
    for kind in sorted((each for each in kinds if each is not type(None)), key=lambda each: each in (str, Path)):
        try:
            return _value(kind, words)
        except ValueError as error:
            problems.append(str(error))
    raise ValueError(", or ".join(dict.fromkeys(problems)))


def _number(kind: type, word: str) -> Any:
    try:
        if not word.isascii():  # int() takes digits of every script
            raise ValueError
        return kind(word)
    except ValueError:
        raise ValueError("must be a whole number" if kind is int else "must be a number") from None


def _switch(word: str) -> bool:
    if word.lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return word.lower() == "true"
