"""The one config system: a frozen dataclass is also TOML, JSON and, by `settings.py`, flags.

A field whose type is a union of dataclasses is stored with a `type` key, the class variable of the same name. Reading
is strict: an unknown key is an error that offers the nearest name, a wrong type names what was expected, and all
problems of a file are reported together.

TOML has no value for None, which is written as an empty table, `{}`. In fields that hold no text "none" means it too,
as people write it.
"""

from __future__ import annotations

import dataclasses
import functools
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from scratchlm.base.errors import UserError, nearest, raise_all, shortened
from scratchlm.base.files import explain_os_error, read_json
from scratchlm.base.reading import read_plain_text, require_table

T = TypeVar("T")
UNSTORED: Mapping[str, Any] = {"stored": False}
"""Metadata of a field that `to_dict` leaves out."""
_hints = functools.cache(typing.get_type_hints)


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a config dataclass into plain values, tagged with `type` where its class has one."""
    tag = getattr(config, "type", None)
    values = {} if tag is None else {"type": tag}
    for field in dataclasses.fields(config):
        if field.metadata.get("stored", True):
            values[field.name] = _plain(getattr(config, field.name))
    return values


def with_origins(config: T, names: Iterable[str], origin: str) -> T:
    """Return a config that notes in its field `origins`, if it has one, where the values of dotted names came from."""
    if not hasattr(config, "origins"):
        return config
    noted = {**config.origins, **dict.fromkeys(names, origin)}
    return typing.cast(T, dataclasses.replace(typing.cast(Any, config), origins=noted))


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
    hints = _hints(cls)
    if not isinstance(data, Mapping):
        problems.append(f"{where or cls.__name__} is {shortened(data)}: expected named values")
        return None
    names = [field.name for field in dataclasses.fields(cls)]
    values = {} if base is None else {name: getattr(base, name) for name in names}
    usual = {field.name: field.default_factory for field in dataclasses.fields(cls) if callable(field.default_factory)}
    for key, value in data.items():
        if key == "type" and hasattr(cls, "type"):
            continue
        place = f"{where}.{key}" if where else key
        if key not in names:
            problems.append(f"unknown key {place!r}: {nearest(str(key), names)}")
            continue
        current = values[key] if key in values else usual[key]() if key in usual else None  # a part's own values
        values[key] = _convert(hints[key], value, place, current, problems)
    missing = [field.name for field in dataclasses.fields(cls) if field.name not in values and is_required(field)]
    problems.extend(f"missing key {f'{where}.{name}' if where else name!r}" for name in missing)
    return None if problems else cls(**values)


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Return whether a field has no default."""
    return field.default is field.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, place: str, current: Any, problems: list[str]) -> Any:
    """Check `value` against a type hint and convert it; note a problem where it does not fit."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if isinstance(hint, type) and isinstance(value, hint) and (dataclasses.is_dataclass(hint) or hint is Path):
        return value
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        kept = current if isinstance(current, typing.cast(type, hint)) else None
        return _build(hint, value, place, kept, problems)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, place, current, problems)
    if origin is Literal and any(value == each and type(value) is type(each) for each in arguments):
        return value
    kinds = _kinds(hint, value)
    if kinds is not None:
        pairs = enumerate(zip(kinds, value, strict=True))
        items = [_convert(kind, item, f"{place}[{i}]", None, problems) for i, (kind, item) in pairs]
        return tuple(items) if origin is tuple else hint(*items) if origin is None else items
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return {key: _convert(arguments[1], item, f"{place}.{key}", None, problems) for key, item in value.items()}
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool) and _fits(value):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is type(None) and value is None:
        return None
    if hint in (int, str, bool) and type(value) is hint:
        return value
    problems.append(f"{place} is {shortened(value)}: expected {_describe(hint)}")
    return None


def _kinds(hint: Any, value: Any) -> list[Any] | None:
    """Return the type of each item of a list that a hint for lists, tuples or named tuples fits, else None."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if not isinstance(value, list | tuple):
        return None
    if origin in (list, Sequence) or (origin is tuple and arguments[-1] is Ellipsis):
        return [arguments[0]] * len(value)
    named = hasattr(hint, "_fields")
    kinds = list(typing.get_type_hints(hint).values()) if named else list(arguments) if origin is tuple else None
    return kinds if kinds is not None and len(kinds) == len(value) else None


def _fits(value: float) -> bool:
    """Return whether a whole number is small enough to be a floating-point one."""
    return isinstance(value, float) or abs(value) < 1 << 1000


def _convert_union(arguments: tuple[Any, ...], value: Any, place: str, current: Any, problems: list[str]) -> Any:
    tagged = {hint.type: hint for hint in arguments if hasattr(hint, "type")}
    if tagged and isinstance(value, Mapping):
        tag = value.get("type", getattr(current, "type", None))
        if not isinstance(tag, str) or tag not in tagged:
            problems.append(f"{place}.type is {shortened(tag)}: {nearest(str(tag), tagged)}")
            return None
        return _convert(tagged[tag], value, place, current, problems)
    texts = str in arguments or Path in arguments  # which may well be "none"
    if type(None) in arguments and (value == {} or (value == "none" and not texts)):
        return None
    for hint in arguments:
        trial: list[str] = []
        converted = _convert(hint, value, place, current, trial)
        if not trial:
            return converted
    problems.append(f"{place} is {shortened(value)}: expected {' or '.join(map(_describe, arguments))}")
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
        if isinstance(value, Mapping) and value:
            yield from flatten(value, place)
        else:
            yield place, value


def nested(where: str, dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Turn values by dotted names into nested tables. Raises `UserError` for a value and a part of it."""
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


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; a missing or broken one is a `UserError` that names it."""
    try:
        text = read_plain_text(path, "utf-8-sig")
    except OSError as error:
        raise explain_os_error(error, path) from error
    except ValueError as error:
        raise error if isinstance(error, UserError) else UserError(f"{str(path)!r}: {error}; name a file") from error
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise UserError(f"{path}: not valid TOML (nested too deeply); correct it") from error
    except ValueError as error:  # a number of thousands of digits is no TOMLDecodeError
        raise UserError(f"{path}: not valid TOML ({error}); correct that line") from error


def read_recipe(path: Path, named: Mapping[str, Path] | None = None) -> dict[str, Any]:
    """Read a TOML file over the one that its key `base` names: a name in `named`, or a file beside it.

    Tables are merged; one of another `type` takes the place of the base's whole. Raises `UserError` for a base that is
    unknown, and for files that are each other's base.
    """
    chain, values = [path], read_toml(path)
    while "base" in values:
        base = str(values.pop("base"))
        place = (named or {}).get(base, chain[-1].parent / base)
        if place.resolve() in [each.resolve() for each in chain]:
            raise UserError(f"{path}: its base {base!r} leads back to itself; name another")
        if not place.is_file():
            raise UserError(f"{chain[-1]}: base {base!r}: {nearest(base, named or {})}, or name a .toml file beside it")
        chain.append(place)
        values = _over(read_toml(place), values)
    return values


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return tables with those above over those below."""
    merged = dict(below)
    for key, value in above.items():
        other = below.get(key)
        tables = isinstance(value, Mapping) and isinstance(other, Mapping)
        same = tables and value.get("type", other.get("type")) == other.get("type")  # type: ignore[union-attr]
        merged[key] = _over(typing.cast(Any, other), value) if same else value
    return merged


def read_settings(cls: type[T], path: Path) -> T:
    """Read a config from a TOML file, such as the recipe.toml of a run; what it leaves out has the class's defaults.

    A path in it that begins with `./` or `../` is relative to the file. Raises `UserError` as `from_dict` does.
    """
    values = read_recipe(path)
    if values.pop("format", None) is not None:  # a run's own file, with what it settled itself
        unread: Callable[[], Mapping[str, str]] = getattr(cls, "unread", dict)
        for name in unread():
            *tables, last = name.split(".")
            functools.reduce(lambda table, key: table.get(key, {}), tables, values).pop(last, None)
    for name, hint in _hints(typing.cast(Any, cls)).items():
        value = values.get(name)
        if isinstance(value, str) and value.startswith(("./", "../")) and Path in (hint, *typing.get_args(hint)):
            values[name] = str(path.parent / value)
    return with_origins(from_dict(cls, values, str(path)), [name for name, _ in flatten(values)], "recipe")


def read_known(cls: type[T], path: Path) -> T:
    """Read a config from a JSON file that may hold more than is asked for. Raises `UserError` as `from_dict` does."""
    return known_values(cls, require_table(read_json(path), str(path)), str(path))


def known_values(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Build a config from values among which may be others than its own. Raises `UserError` as `from_dict` does."""
    names = {field.name for field in dataclasses.fields(typing.cast(Any, cls))}
    return from_dict(cls, {name: value for name, value in values.items() if name in names}, where)


def to_toml(data: Mapping[str, Any], origins: Mapping[str, str] | None = None) -> str:
    """Write nested plain values as TOML, each line marked with where its value came from.

    `origins` maps a dotted name to a word such as default, recipe or flag. None becomes `{}`, since TOML has no such
    value and leaving it out would mean the default.
    """
    import tomlkit  # only what writes a run needs it

    document: Any = tomlkit.document()
    for place, value in flatten(data):
        *tables, key = place.split(".")
        item = tomlkit.inline_table() if value is None else tomlkit.item(value)
        item.trivia.comment = f"  # {origins[place]}" if origins and place in origins else ""
        functools.reduce(lambda table, name: table.setdefault(name, tomlkit.table()), tables, document).add(key, item)
    return tomlkit.dumps(document)
