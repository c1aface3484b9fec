"""A config from the arguments of a Python call: the counterpart of `flags`, which reads a command line."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from scratchlm.base.config import from_dict
from scratchlm.base.errors import UserError, nearest
from scratchlm.config.settings import Place

T = TypeVar("T")


def parameters(cls: type, hidden: Collection[str] = ()) -> list[inspect.Parameter]:
    """Return a config's fields as parameters; those that are positional on the command line are so here.

    `hidden` are the fields that mean something on a terminal alone.
    """
    hints, plain = typing.get_type_hints(cls, include_extras=True), typing.get_type_hints(cls)
    found = []
    for field in dataclasses.fields(cls):
        if field.name in hidden:
            continue
        first = Place.FIRST in getattr(hints[field.name], "__metadata__", ())
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if first else inspect.Parameter.KEYWORD_ONLY
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        default = inspect.Parameter.empty if default is dataclasses.MISSING else default
        found.append(inspect.Parameter(field.name, kind, default=default, annotation=plain[field.name]))
    return found


def has_parts(cls: type) -> bool:
    """Return whether a config has settings inside settings, which only dotted names reach one by one."""
    hints = typing.get_type_hints(cls).values()
    return any(dataclasses.is_dataclass(each) for hint in hints for each in (hint, *typing.get_args(hint)))


def by_place(known: Sequence[inspect.Parameter], positional: Sequence[Any]) -> dict[str, Any]:
    """Return the arguments that were given without a name by their names."""
    places = [each.name for each in known if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    return dict(zip(places, positional, strict=False))


def named_arguments(
    where: str, known: Sequence[inspect.Parameter], positional: Sequence[Any], named: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call by their names, without those that are None as they are by default.

    Raises `UserError` for one that is unknown, with the nearest name, for one given twice, and for too many.
    """
    found = by_place(known, positional)
    if len(positional) > len(found):
        allowed = f"{len(found)}: {', '.join(found)}" if found else "none"
        raise UserError(f"{where}: {len(positional)} arguments without a name; it takes {allowed}; name the others")
    for name, value in named.items():
        if name not in [each.name for each in known]:
            raise UserError(f"{where}: unknown argument {name!r}: {nearest(name, [each.name for each in known])}")
        if name in found:
            raise UserError(f"{where}: {name} is given twice; give it once")
        found[name] = value
    usual = {each.name: each.default for each in known}
    return {name: value for name, value in found.items() if not (value is None and usual[name] is None)}


def config_from(
    where: str,
    cls: type[T],
    named: Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    base: T | None = None,
) -> T:
    """Build a config: `overrides`, single values by dotted names, win over `named`, and these over `base`.

    A path or a list may be given as text. Raises `UserError` for what is missing and for each value of a wrong type.
    """
    hints = typing.get_type_hints(cls)
    missing = [
        each.name
        for each in parameters(cls)
        if base is None and each.default is inspect.Parameter.empty and named.get(each.name, ()) in ((), [])
    ]
    if missing:
        raise UserError(f"{where}: {', '.join(missing)}: missing; give a value for each")
    values = {name: _accepted(hints[name], value) for name, value in named.items()}
    config = from_dict(cls, values, "", base)
    return from_dict(cls, nested(where, overrides), "", config) if overrides else config


def _accepted(hint: Any, value: Any) -> Any:
    """Take one text for a list of one, and a path where a text is wanted."""
    if typing.get_origin(hint) is tuple and isinstance(value, str | Path):
        value = [value]
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[0] is str and isinstance(value, list | tuple):
        return [str(item) if isinstance(item, Path) else item for item in value]
    wants_text = hint is str or (str in typing.get_args(hint) and Path not in typing.get_args(hint))
    return str(value) if isinstance(value, Path) and wants_text else value


def nested(where: str, dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into nested tables."""
    tables: dict[str, Any] = {}
    for name, value in dotted.items():
        *places, last = name.split(".")
        table = tables
        for place in places:
            table = table.setdefault(place, {})
            if not isinstance(table, dict):
                raise UserError(f"{where}: overrides has {name!r} and a part of it; give one of the two")
        table[last] = value
    return tables
