"""A Python call read into given values, by the names of the settings that they are for."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError, nearest
from scratchlm.config.settings import Place


def parameters(cls: type, hidden: Collection[str] = ()) -> list[inspect.Parameter]:
    """Return a config's fields as parameters; those that are positional on the command line are so here.

    `hidden` are the fields that mean something on a terminal alone; those of no place are left out too.
    """
    hints, plain = typing.get_type_hints(cls, include_extras=True), typing.get_type_hints(cls)
    known = []
    for field in dataclasses.fields(cls):
        marks = getattr(hints[field.name], "__metadata__", ())
        if field.name in hidden or Place.NOWHERE in marks:
            continue
        first = Place.FIRST in marks
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if first else inspect.Parameter.KEYWORD_ONLY
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        default = inspect.Parameter.empty if default is dataclasses.MISSING else default
        hint = plain[field.name] | None if default is None else plain[field.name]
        known.append(inspect.Parameter(field.name, kind, default=default, annotation=hint))
    return known


def has_parts(cls: type) -> bool:
    """Return whether a config has settings inside settings, which only dotted names reach one by one."""
    hints = typing.get_type_hints(cls).values()
    return any(dataclasses.is_dataclass(each) for hint in hints for each in (hint, *typing.get_args(hint)))


def named_arguments(
    where: str, known: Sequence[inspect.Parameter], positional: Sequence[Any], named: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call by their names, without those that are None as they are by default.

    Raises `UserError` for one that is unknown, with the nearest name, for one given twice, and for too many.
    """
    places = [each.name for each in known if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    values = dict(zip(places, positional, strict=False))
    if len(positional) > len(places):
        allowed = f"{len(places)}: {', '.join(places)}" if places else "none"
        raise UserError(f"{where}: {len(positional)} arguments without a name; it takes {allowed}; name the others")
    usual = {each.name: each.default for each in known}
    for name, value in named.items():
        if name not in usual:
            raise UserError(f"{where}: unknown argument {name!r}: {nearest(name, list(usual))}")
        if name in values:
            raise UserError(f"{where}: {name} is given twice; give it once")
        values[name] = value
    return {name: value for name, value in values.items() if not (value is None and usual[name] is None)}


def given_fields(config: Any) -> dict[str, Any]:
    """Return the fields of a config by name, without those that are None as they are by default."""
    usual = {each.name: each.default for each in dataclasses.fields(config)}
    return {name: value for name, value in vars(config).items() if not (value is None and usual[name] is None)}


def missing_arguments(known: Sequence[inspect.Parameter], values: Mapping[str, Any]) -> list[str]:
    """Return the names of what a call must give and did not."""
    return [e.name for e in known if e.default is inspect.Parameter.empty and values.get(e.name, ()) in ((), [])]


def accepted(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as a config takes them: one text for a list of one, and a path where a text is wanted."""
    hints = typing.get_type_hints(cls)
    return {name: _accepted(hints[name], value) if name in hints else value for name, value in values.items()}


def _accepted(hint: Any, value: Any) -> Any:
    if typing.get_origin(hint) is tuple and isinstance(value, str | Path):
        value = [value]
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[0] is str and isinstance(value, list | tuple):
        return [str(item) if isinstance(item, Path) else item for item in value]
    wants_text = hint is str or (str in typing.get_args(hint) and Path not in typing.get_args(hint))
    return str(value) if isinstance(value, Path) and wants_text else value
