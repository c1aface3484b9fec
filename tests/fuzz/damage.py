"""Ways to damage a small valid file: each has a name, and changes the file at a path in place."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow

Damage = Callable[[Path], None]

DEEP = 100_000
WRONG: list[tuple[str, Any]] = [
    ("null", None),
    ("minus-one", -1),
    ("zero", 0),
    ("huge", 10**30),
    ("infinity", float("inf")),
    ("nan", float("nan")),
    ("text", "none"),
    ("escape", "\x1b[31mred\x07\u202e"),
    ("list", [1, "two", None]),
    ("table", {"type": "strange"}),
    ("true", True),
    ("half", 0.5),
    ("path", "../../../../etc/passwd"),
    ("million", 1_000_000_000),
    ("empty", ""),
    ("long", "x" * 100_000),
]


def written(data: bytes) -> Damage:
    """The file holds other bytes."""
    return lambda path: path.write_bytes(data) and None


def changed(change: Callable[[bytes], bytes]) -> Damage:
    """The file's bytes are changed."""

    def damage(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return damage


def _flipped(seed: int, count: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        draw, found = random.Random(seed), bytearray(data)
        for _ in range(count if found else 0):
            found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
        return bytes(found)

    return change


def _removed(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link(to: str) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        path.symlink_to(path.name if to == "itself" else to)

    return damage


def of_any() -> Iterator[tuple[str, Damage]]:
    """Damage to a file of any kind."""
    yield "empty", written(b"")
    yield "removed", _removed
    yield "folder", _folder
    yield "pipe", _pipe
    yield "endless-device", _link("/dev/zero")
    yield "terminal-device", _link("/dev/tty")
    yield "link-to-itself", _link("itself")
    yield "half", changed(lambda data: data[: len(data) // 2])
    yield "last-byte-gone", changed(lambda data: data[:-1])
    yield "first-byte-gone", changed(lambda data: data[1:])
    yield "twice", changed(lambda data: data * 2)
    yield "zeros", changed(lambda data: bytes(len(data)))
    yield "noise", written(random.Random(5).randbytes(4096))
    for seed in range(3):
        yield f"flipped-{seed}", changed(_flipped(seed, 3))


def of_text() -> Iterator[tuple[str, Damage]]:
    """Damage to a text file."""
    yield "latin", written('größer: Café = "ä"\n'.encode("latin-1") * 20)
    yield "wide", changed(lambda data: data.decode("utf-8", "replace").encode("utf-16"))
    yield "nul", changed(lambda data: data[: len(data) // 3] + b"\0\0" + data[len(data) // 3 :])
    yield "brackets", written(b"[" * DEEP)
    yield "braces", written(b'{"a":' * DEEP)
    yield "nested", written(b"[" * 3000 + b"]" * 3000)
    yield "number", written(b"9" * 5000)
    yield "null", written(b"null\n")
    yield "a-list", written(b'[1, "two", {"three": 4}]\n')
    yield "a-text", written(b'"text"\n')
    yield "escapes", written(b'{"\\u001b[2J": "\x1b]0;owned\x07"}\n' * 3)
    yield "surrogate", written(b'{"text": "\\ud800"}\n' * 3)
    yield "one-line", written(b"x" * 3_000_000)


def _places(value: Any, place: tuple[Any, ...] = (), depth: int = 3) -> Iterator[tuple[Any, ...]]:
    """Yield the places of a JSON value; of long lists and tables the first few."""
    if place:
        yield place
    if depth and isinstance(value, dict):
        for key in list(value)[:24]:
            yield from _places(value[key], (*place, key), depth - 1)
    elif depth and isinstance(value, list):
        for index in range(min(2, len(value))):
            yield from _places(value[index], (*place, index), depth - 1)


def _at(place: tuple[Any, ...], put: Callable[[Any, Any], None]) -> Callable[[Any], Any]:
    def change(value: Any) -> Any:
        inner = value
        for key in place[:-1]:
            inner = inner[key]
        put(inner, place[-1])
        return value

    return change


def of_value(value: Any, each: int = 2) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Damage to a value read from JSON or TOML: at each place some wrong kinds, or nothing."""
    for number, place in enumerate(_places(value)):
        name = ".".join(map(str, place))[:60]
        for turn in range(each):
            kind, wrong = WRONG[(number * each + turn) % len(WRONG)]
            yield f"{name}={kind}", _at(place, lambda inner, key, wrong=wrong: inner.__setitem__(key, wrong))
        if number % 2 == 0:
            yield f"{name}-gone", _at(place, lambda inner, key: inner.pop(key))
    if isinstance(value, dict):
        yield "unknown-key", lambda value: {**value, "\x1b[31mstrange": 1}


def of_json(path: Path, each: int = 2) -> Iterator[tuple[str, Damage]]:
    """Damage to what a JSON file says."""

    def apply(change: Callable[[Any], Any]) -> Damage:
        return lambda path: path.write_text(json.dumps(change(json.loads(path.read_text()))), encoding="utf-8") and None

    for name, change in of_value(json.loads(path.read_text(encoding="utf-8")), each):
        yield name, apply(change)


def of_lines(path: Path) -> Iterator[tuple[str, Damage]]:
    """Damage to what the first line of a file of JSON lines says."""

    def apply(change: Callable[[Any], Any]) -> Damage:
        def damage(path: Path) -> None:
            first, *rest = path.read_text(encoding="utf-8").splitlines()
            path.write_text("\n".join([json.dumps(change(json.loads(first))), *rest]) + "\n", encoding="utf-8")

        return damage

    for name, change in of_value(json.loads(path.read_text(encoding="utf-8").splitlines()[0]), 2):
        yield name, apply(change)
    yield "garbage-line", changed(lambda data: b"\x80garbage {\n" + data)
    yield "list-line", changed(lambda data: b"[1, 2]\n" + data)


def of_settings(path: Path) -> Iterator[tuple[str, Damage]]:
    """Damage to the lines of a TOML file: other values."""
    lines = path.read_text(encoding="utf-8").splitlines()
    values = ("-1", "nan", "inf", "1000000000000000000000", '"none"', '"\\u001b[2J"', "[1, 2]", "{a = 1}", "true", "0")
    for number, line in enumerate(lines):
        if " = " in line:
            key, value = line.split(" = ")[0], values[number % len(values)]
            damaged = "\n".join([*lines[:number], f"{key} = {value}", *lines[number + 1 :]])
            yield f"line-{number}-{key}={value[:12]}", written(damaged.encode())
    yield "unknown-key", changed(lambda data: b"strange = 1\n" + data)
    yield "broken", changed(lambda data: data + b"\n[[[\n")
    yield "nested-arrays", changed(lambda data: b"strange = " + b"[" * 5000 + b"]" * 5000 + b"\n" + data)


def of_tensors(path: Path) -> Iterator[tuple[str, Damage]]:
    """Damage to a safetensors file: its header's length, its header, its numbers."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    name = next(key for key in header if key != "__metadata__")

    def with_header(value: Any) -> Damage:
        text = json.dumps(value).encode()
        return written(len(text).to_bytes(8, "little") + text + body)

    yield "header-of-2^60", written((1 << 60).to_bytes(8, "little") + data[8:])
    yield "header-of-2^40", written((1 << 40).to_bytes(8, "little") + data[8:])
    yield "header-of-0", written(bytes(8) + data[8:])
    yield "tensor-gone", with_header({key: each for key, each in header.items() if key != name})
    yield "dtype", with_header({**header, name: {**header[name], "dtype": "I64"}})
    yield "shape", with_header({**header, name: {**header[name], "shape": [1 << 50, 1 << 50]}})
    yield "overlap", with_header({**header, name: {**header[name], "data_offsets": [0, 1 << 60]}})
    yield "not-a-number", changed(lambda data: data[: 8 + length] + b"\0\0\xc0\x7f" * (len(body) // 4))
    yield "one-not-a-number", changed(lambda data: data[:-4] + b"\0\0\xc0\x7f")


def of_gguf(_: Path) -> Iterator[tuple[str, Damage]]:
    """Damage to a GGUF file: counts and lengths in its header."""

    def number(at: int, value: int, size: int = 8) -> Damage:
        return changed(lambda data: data[:at] + value.to_bytes(size, "little") + data[at + size :])

    for value in (1 << 20, 1 << 40, 1 << 60, (1 << 64) - 1):
        yield f"tensors-{value:x}", number(8, value)
        yield f"fields-{value:x}", number(16, value)
        yield f"key-length-{value:x}", number(24, value)
    yield "version-9", number(4, 9, 4)
    yield "version-turned", number(4, 3 << 24, 4)
    for seed in range(40):
        yield f"header-flipped-{seed}", changed(lambda data, seed=seed: _flipped(seed, 2)(data[:1500]) + data[1500:])
    for seed in range(20):
        yield f"cut-{seed}", changed(lambda data, seed=seed: data[: random.Random(seed).randrange(len(data))])


def of_template(_: Path) -> Iterator[tuple[str, Damage]]:
    """Templates that are wrong, endless, huge or curious."""
    for name, text in {
        "loop": "{% for i in range(10**12) %}a{% endfor %}",
        "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "loops-that-write": "{% for i in range(9999) %}{% for j in range(9999) %}aaaa{% endfor %}{% endfor %}",
        "repeat": "{{ 'a' * 10**10 }}",
        "list-repeat": "{{ [0] * 10**10 }}",
        "power": "{{ 9**9**9 }}",
        "power-shown": "{{ (9**99999) | string }}",
        "shift-like": "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",  # noqa: E501
        "tilde": "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",  # noqa: E501
        "format": "{{ '%999999999999d' % 1 }}",
        "format-method": "{{ '{:>9999999999}'.format(1) }}",
        "format-filter": "{{ '%*d' | format(99999999999, 1) }}",
        "center": "{{ 'a' | center(10**10) }}",
        "center-method": "{{ 'a'.center(10**10) }}",
        "join": "{{ range(99999) | join('a' * 99999) }}",
        "replace": "{{ ('a' * 99999) | replace('a', 'b' * 99999) }}",
        "indent": "{{ 'a' | indent(10**10, true) }}",
        "wordwrap": "{{ ('a' * 90000) | wordwrap(1, true, 'b' * 90000) }}",
        "recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "recursive-loop": "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "lists": "{% set ns = namespace(x=[0]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x | length }}",  # noqa: E501
        "reach": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "globals": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "lipsum": "{{ lipsum(n=99999999) }}",
        "syntax": "{% for message in %}",
        "undefined": "{{ messages[0].nothing.at.all }}",
        "index": "{{ messages[999] }}",
        "include": "{% include '/etc/passwd' %}",
        "import": "{% import 'os' as os %}",
        "division": "{{ 1 // 0 }}",
        "int": "{{ ('9' * 5000) | int }}",
        "raise": "{{ raise_exception('\x1b[31mno\nline two') }}",
        "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "deep-if": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
        "mapped": "{{ messages | map(attribute='content') | map('replace', 'a', 'b' * 99999) | list }}",
        "tojson": "{{ range(99999) | list | tojson(indent=99999) }}",
        "pprint": "{{ range(99999) | list | pprint }}",
        "slices": "{% for x in range(99999) | batch(1) %}{% for y in range(99999) | slice(90000) %}{% endfor %}{% endfor %}",  # noqa: E501
        "sum": "{{ ([[0] * 9999] * 9999) | sum(start=[]) | length }}",
        "sort": "{{ (range(99999) | list) * 99999 | sort | length }}",
    }.items():
        yield name, written(text.encode())


def compressed(path: Path) -> Iterator[tuple[str, Damage]]:
    """Bombs: a small file that unpacks to much."""
    pack = gzip.compress if path.suffix == ".gz" else partial(pyarrow.compress, codec="zstd", asbytes=True)
    yield "bomb-one-line", lambda path: path.write_bytes(pack(b"x" * 60_000_000)) and None
    yield "not-compressed", written(b"plain text\n" * 20)
