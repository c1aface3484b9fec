"""The one config system: a frozen dataclass is also TOML, JSON and, through tyro, flags.

A field whose type is a union of dataclasses is stored with a `type` key, the class variable of the same name. Reading
is strict: an unknown key is an error that offers the nearest name, a wrong type names what was expected, and all
problems of a file are reported together.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from scratchlm.base.errors import UserError, nearest, raise_all
from scratchlm.base.files import explain_os_error

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a config dataclass into plain values, tagged with `type` where its class has one."""
    tag = getattr(config, "type", None)
    values = {} if tag is None else {"type": tag}
    for field in dataclasses.fields(config):
        values[field.name] = _plain(getattr(config, field.name))
    return values


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def from_dict(cls: type[T], data: Mapping[str, Any], where: str = "", base: T | None = None) -> T:
    """Build a config from plain values; what `data` leaves out comes from `base`, else from the class's defaults.

    Raises `UserError` with every unknown key and wrong type, each named by its dotted place under `where`.
    """
    problems: list[str] = []
    built = _build(cls, data, where, base, problems)
    raise_all(problems)
    return typing.cast(T, built)


def _build(cls: Any, data: Mapping[str, Any], where: str, base: Any, problems: list[str]) -> Any:
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    values = {} if base is None else {name: getattr(base, name) for name in names}
    for key, value in data.items():
        place = f"{where}.{key}" if where else key
        if key == "type" and hasattr(cls, "type"):
            continue
        if key not in names:
            problems.append(f"unknown key {place!r}: {nearest(key, names)}")
            continue
        values[key] = _convert(hints[key], value, place, values.get(key), problems)
    missing = [
        field.name
        for field in dataclasses.fields(cls)
        if field.name not in values
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    problems.extend(f"missing key {f'{where}.{name}' if where else name!r}" for name in missing)
    if problems:
        return None
    return cls(**values)


def _convert(hint: Any, value: Any, place: str, current: Any, problems: list[str]) -> Any:
    """Check `value` against a type hint and convert it; note a problem where it does not fit."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and isinstance(value, hint) and (dataclasses.is_dataclass(hint) or hint is Path):
        return value
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        kept = current if isinstance(current, typing.cast(type, hint)) else None
        return _build(hint, value, place, kept, problems)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, place, current, problems)
    if origin is Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, list | tuple) and (Ellipsis in arguments or len(value) == len(arguments)):
        return tuple(_convert(arguments[0], item, f"{place}[{i}]", None, problems) for i, item in enumerate(value))
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is type(None) and value is None:
        return None
    if hint in (int, str, bool) and type(value) is hint:
        return value
    problems.append(f"{place} is {value!r}: expected {_describe(hint)}")
    return None


def _convert_union(arguments: tuple[Any, ...], value: Any, place: str, current: Any, problems: list[str]) -> Any:
    tagged = {hint.type: hint for hint in arguments if hasattr(hint, "type")}
    if tagged and isinstance(value, Mapping):
        tag = value.get("type", getattr(current, "type", None))
        if tag not in tagged:
            problems.append(f"{place}.type is {tag!r}: {nearest(str(tag), tagged)}")
            return None
        return _convert(tagged[tag], value, place, current, problems)
    if value == "none" and type(None) in arguments:  # TOML's way to write it
        return None
    for hint in arguments:
        trial: list[str] = []
        converted = _convert(hint, value, place, current, trial)
        if not trial:
            return converted
    problems.append(f"{place} is {value!r}: expected {' or '.join(map(_describe, arguments))}")
    return None


def _describe(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        items = typing.get_args(hint)
        return f"a list of {_describe(items[0])} values" if Ellipsis in items else f"{len(items)} values"
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "nothing"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def flatten(data: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every leaf of nested plain values with its dotted name."""
    for key, value in data.items():
        place = f"{where}.{key}" if where else key
        if isinstance(value, Mapping):
            yield from flatten(value, place)
        else:
            yield place, value


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; a missing or broken one is a `UserError` that names it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise explain_os_error(error, path) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: not valid TOML ({error}); correct that line") from error


def to_toml(data: Mapping[str, Any], origins: Mapping[str, str] | None = None) -> str:
    """Write nested plain values as TOML, each line marked with where its value came from.

    `origins` maps a dotted name to a word such as default, recipe or flag. None is written as the text "none", since
    TOML has no such value and leaving it out would mean the default.
    """
    lines: list[str] = []
    _write_table(data, "", origins or {}, lines)
    return "\n".join(lines).lstrip("\n") + "\n"


def _write_table(data: Mapping[str, Any], where: str, origins: Mapping[str, str], lines: list[str]) -> None:
    if where:
        lines.extend(["", f"[{where}]"])
    for key, value in data.items():
        if isinstance(value, Mapping):
            continue
        place = f"{where}.{key}" if where else key
        origin = f"  # {origins[place]}" if place in origins else ""
        lines.append(f"{key} = {json.dumps('none' if value is None else value, ensure_ascii=False)}{origin}")
    for key, value in data.items():
        if isinstance(value, Mapping):
            _write_table(value, f"{where}.{key}" if where else key, origins, lines)
