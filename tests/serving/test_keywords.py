"""The keywords and formats of JSON schemas that `docs/serving.md` calls refused are those that are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from jsonschema_specifications import REGISTRY

from scratchlm.base.errors import UserError
from scratchlm.generation.grammar import Grammars
from toys import byte_tokenizer

PAGE = (Path(__file__).parents[2] / "docs/serving.md").read_text(encoding="utf-8")
VALUES: dict[str, Any] = {
    "type": "string", "enum": [1], "const": 1, "multipleOf": 3, "maximum": 5, "exclusiveMaximum": 5, "minimum": 1,
    "exclusiveMinimum": 1, "maxLength": 3, "minLength": 1, "pattern": "^a+$", "maxItems": 3, "minItems": 1,
    "uniqueItems": True, "maxContains": 2, "minContains": 1, "maxProperties": 3, "minProperties": 1, "required": ["a"],
    "dependentRequired": {"a": ["b"]}, "prefixItems": [{"type": "string"}], "items": {"type": "string"},
    "contains": {"type": "string"}, "additionalProperties": False, "properties": {"a": {"type": "string"}},
    "patternProperties": {"^a": {"type": "string"}}, "dependentSchemas": {"a": {}}, "propertyNames": {"pattern": "^a"},
    "if": {"type": "string"}, "then": {}, "else": {}, "allOf": [{"type": "string"}], "anyOf": [{"type": "string"}],
    "oneOf": [{"type": "string"}, {"type": "integer"}], "not": {"type": "string"}, "unevaluatedItems": False,
    "unevaluatedProperties": False, "$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}, "$anchor": "x",
    "$dynamicRef": "#a", "$dynamicAnchor": "a", "$id": "https://x.example/a", "$comment": "c", "$vocabulary": {},
    "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "t", "description": "d", "default": 1,
    "examples": [1], "deprecated": True, "readOnly": True, "writeOnly": True, "format": "date",
    "contentEncoding": "base64", "contentMediaType": "a/b", "contentSchema": {},
}  # fmt: skip
"""Each keyword of draft 2020-12, with a value."""
DEFINED = {"$defs": VALUES["$defs"]}
FORMATS = (
    "date-time", "time", "date", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6", "uri",
    "uri-reference", "iri", "iri-reference", "uuid", "uri-template", "json-pointer", "relative-json-pointer", "regex",
)  # fmt: skip
"""The formats of draft 2020-12, section 7.3 of its validation vocabulary."""


@pytest.fixture(scope="module")
def grammars() -> Grammars:
    tokenizer = byte_tokenizer()
    return Grammars(tokenizer, tokenizer.vocabulary_size)


def is_refused(grammars: Grammars, schema: dict[str, Any]) -> bool:
    try:
        grammars.json_schema(schema)
    except UserError:
        return True
    return False


def named(opening: str, closing: str) -> list[str]:
    """What stands in code marks between two phrases of the page."""
    return re.findall("`(.+?)`", PAGE.split(opening)[1].split(closing)[0])


def test_all_keywords_are_tried() -> None:
    vocabularies = jsonschema.Draft202012Validator.META_SCHEMA["$vocabulary"]
    metaschemas = [REGISTRY[each.replace("/vocab/", "/meta/")].contents for each in vocabularies]
    assert {keyword for each in metaschemas for keyword in each["properties"]} == set(VALUES)


def test_the_page_names_the_keywords_that_are_refused(grammars: Grammars) -> None:
    refused = [keyword for keyword, value in VALUES.items() if is_refused(grammars, DEFINED | {keyword: value})]
    assert sorted(named("These keywords are refused", ".\n`oneOf`")) == sorted(refused)
    assert is_refused(grammars, {"oneOf": [{"type": "integer", "minimum": 3}, {"type": "integer", "maximum": 5}]})
    with pytest.raises(UserError, match=r'^JSON schema: cannot be held to "if", "not"; correct'):
        grammars.json_schema({"not": {}, "if": {}})


def test_the_page_names_the_formats_that_are_refused(grammars: Grammars) -> None:
    refused = [each for each in FORMATS if is_refused(grammars, {"type": "string", "format": each})]
    assert sorted(named("Of the formats,", "are refused")) == sorted(refused)
