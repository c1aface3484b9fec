"""The rules of the house, read off the files themselves. Style, types and layers are checked by `.ci/run`."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Set
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "scratchlm"
SOURCES = sorted(PACKAGE.rglob("*.py"))
SET_UP = [
    "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/scratchlm quickstart",
    'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/python -m pytest',
]
BUILT = re.compile(r"\.git|\.venv.*|\..*_cache|\.hypothesis|__pycache__|build|dist|.*\.egg-info")
WRITTEN = ("runs", "quickstart")
"""Folders that commands write into the current one."""
REGISTRIES = re.compile(r"pypi\.org|pythonhosted\.org|anaconda\.org|npmjs\.(?:com|org)|crates\.io|rubygems\.org")
MACHINE_PATHS = re.compile(r"(?<![\w.~$}/-])/(?:work|home|Users|root|tmp/venv)/\w|\b[A-Z]:\\{1,2}Users\\")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def tracked_files() -> list[Path]:
    """What git tracks or would; all but built folders where this is a copy without its history."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        listed = ""
    paths = [ROOT / line for line in listed.split("\0") if line]
    if not paths:
        paths = [path for path in ROOT.rglob("*") if not _built(_parts(path))]
    return [path for path in paths if path.is_file()]


def _built(parts: tuple[str, ...]) -> bool:
    return parts[0] in WRITTEN or any(BUILT.fullmatch(part) for part in parts)


def _parts(path: Path) -> tuple[str, ...]:
    return path.relative_to(ROOT).parts


def tracked_texts() -> Iterator[tuple[str, str]]:
    for path in tracked_files():
        data = path.read_bytes()
        if b"\0" not in data:
            yield name(path), data.decode("utf-8", errors="replace")


def long_functions(tree: ast.Module, limit: int) -> list[tuple[str, int]]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    sizes = [(node.name, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions]
    return [(function, lines) for function, lines in sizes if lines >= limit]


def parameters_of(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield each function with the number of its parameters, self and cls not counted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            of = node.args
            named = [each.arg for each in (*of.posonlyargs, *of.args, *of.kwonlyargs, of.vararg, of.kwarg) if each]
            yield node.name, len({*named} - {"self", "cls"})


def circle(imports: Mapping[str, Set[str]]) -> list[str]:
    """Return modules that import each other in a circle, the first once more at the end; none where there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def public(body: list[ast.stmt]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the public classes and functions of a module or class; overloads share their function's docstring."""
    for node in body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        if any(ast.unparse(decorator).split(".")[-1] in ("overload", "override") for decorator in node.decorator_list):
            continue
        yield node


def undocumented(tree: ast.Module) -> list[str]:
    missing = [] if ast.get_docstring(tree) else ["the module"]
    for node in public(tree.body):
        if not ast.get_docstring(node):
            missing.append(node.name)
        if isinstance(node, ast.ClassDef) and not inherits_docstrings(node):
            missing += [f"{node.name}.{method.name}" for method in public(node.body) if not ast.get_docstring(method)]
    return missing


def inherits_docstrings(node: ast.ClassDef) -> bool:
    """A class on a base keeps its base's words for the methods that it overrides."""
    return any(ast.unparse(base).split("[")[0] not in ("Protocol", "ABC", "Generic") for base in node.bases)


def promised_but_absent(tree: ast.Module, text: str) -> list[str]:
    found = [
        f"line {index}" for index, line in enumerate(text.splitlines(), 1) if re.search(r"\b(TODO|FIXME|XXX)\b", line)
    ]
    raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc is not None]
    return found + [f"line {error.lineno}" for error in raised if "NotImplementedError" in ast.unparse(error)]


def private_definitions() -> set[str]:
    """The functions and methods of the package whose names begin with an underscore."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = {node.name for path in SOURCES for node in ast.walk(parsed(path)) if isinstance(node, kinds)}
    return {name for name in found if name.startswith("_") and not name.endswith("__")}


def private_uses(tree: ast.Module, private: set[str]) -> list[str]:
    """What of the package's private names a file imports or reads from something that is not its own."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    found = [
        each.name for node in imports for each in node.names if each.name.startswith("_") and _ours(node.module or "")
    ]
    reads = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in private]
    own = ("self", "cls")
    return found + [node.attr for node in reads if not (isinstance(node.value, ast.Name) and node.value.id in own)]


def _ours(module: str) -> bool:
    return module.split(".")[0] == "scratchlm"


def first_block(text: str, language: str) -> list[str]:
    block = re.search(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert block is not None, f"no block of {language}"
    return block.group(1).splitlines()


def test_no_test_leaves_the_next_one_another_number_of_threads() -> None:
    here = ROOT / "tests"
    own = (
        here / "conftest.py",
        Path(__file__).resolve(),
        here / "fuzz" / "running.py",
    )  # the last, a process of its own
    files = sorted(path for path in here.rglob("*.py") if path not in own)
    assert len(files) > 50
    assert [name(path) for path in files if "set_num_threads" in path.read_text(encoding="utf-8")] == []


def test_every_test_computes_on_one_thread_and_so_do_the_processes_that_it_starts() -> None:
    assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (1, "1")


def test_there_is_a_house_to_check() -> None:
    assert len(SOURCES) > 50
    assert {"README.md", "pyproject.toml", "src/scratchlm/__init__.py"} <= {name(path) for path in tracked_files()}


def test_every_function_fits_one_screen() -> None:
    found = {name(path): long_functions(parsed(path), 60) for path in SOURCES}
    assert {path: functions for path, functions in found.items() if functions} == {}


def test_no_function_takes_more_than_eight_parameters() -> None:
    files = [*SOURCES, *sorted((ROOT / "bench").rglob("*.py"))]
    found = {f"{name(path)} {function}": n for path in files for function, n in parameters_of(parsed(path)) if n > 8}
    assert found == {}


def test_no_module_imports_itself_through_others() -> None:
    graph = grimp.build_graph("scratchlm", exclude_type_checking_imports=True, cache_dir=None)
    assert len(graph.modules) >= len(SOURCES)
    imports = {each: graph.find_modules_directly_imported_by(each) for each in graph.modules}
    assert circle(imports) == []


def test_what_a_pretraining_can_import_stays_small() -> None:
    graph = grimp.build_graph("scratchlm", exclude_type_checking_imports=True, cache_dir=None)
    reached, waiting = set(), ["scratchlm.pretraining.train"]
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += graph.find_modules_directly_imported_by(module)
    assert len(reached) <= 117, sorted(reached)  # to lower it: split what is read from what is written, or import less


def test_no_two_public_classes_share_a_name() -> None:
    """minimal.py is read alone, and names its parts as the papers do."""
    files: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and path.name != "minimal.py":
                files.setdefault(node.name, []).append(name(path))
    assert {each: places for each, places in files.items() if len(places) > 1} == {}


def test_everything_public_has_a_docstring() -> None:
    found = {name(path): undocumented(parsed(path)) for path in SOURCES}
    assert {path: names for path, names in found.items() if names} == {}


def test_nothing_is_promised_in_code_that_is_not_there() -> None:
    found = {name(path): promised_but_absent(parsed(path), path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {path: places for path, places in found.items() if places} == {}


def test_the_checks_above_find_what_they_look_for() -> None:
    tree = ast.parse(
        "def long():\n" + "    pass\n" * 60 + "class Bare:\n    def method(self): raise NotImplementedError\n"
    )
    assert long_functions(tree, 60) == [("long", 61)]
    assert list(parameters_of(ast.parse("def f(self, a, /, b, *c, d=lambda x: 0, **e): pass"))) == [("f", 5)]
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert sorted(set(circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}))) == ["b", "c"]
    assert undocumented(tree) == ["the module", "long", "Bare", "Bare.method"]
    assert promised_but_absent(tree, "# TO" + "DO\n") == ["line 1", "line 63"]
    used = ast.parse("from scratchlm.model import _x\nfrom other import _y\nmodel._z()\nself._z()\nmodel._other\n")
    assert private_uses(used, {"_z"}) == ["_x", "_z"]
    assert REGISTRIES.search("https://" + "pypi" + ".org/simple")
    assert MACHINE_PATHS.search("see /" + "home/someone")
    assert not MACHINE_PATHS.search("src/home/page, https://example.com/work/a")


@pytest.mark.parametrize("folder", ["tests", "bench", "notes"])
def test_only_public_names_of_the_package_are_used_outside_of_it(folder: str) -> None:
    private = private_definitions()
    assert len(private) > 100
    files = sorted((ROOT / folder).rglob("*.py"))
    found = {name(path): private_uses(parsed(path), private) for path in files}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("folder", ["src/scratchlm/base", "tests", "bench", "notes"])
def test_an_undefined_name_is_found_wherever_code_stands(folder: str) -> None:
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise", "--no-cache", "-"]
    place = ["--stdin-filename", str(ROOT / folder / "new.py")]
    head = "from jaxtyping import Float\nfrom torch import Tensor\n\n\n"
    code = head + "def f(x: Float[Tensor, 'B T']) -> None:\n    x + y\n"  # shapes are no names
    done = subprocess.run([*command, *place], input=code, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1, done.stderr
    assert re.findall(r"F821.*", done.stdout) == ["F821 Undefined name `y`"]


def test_no_line_is_excused_from_the_search_for_undefined_names() -> None:
    excused = re.compile("(?:noqa|ruff|ignore)\\W.*(?:F" + "821|name-" + "defined)")
    assert [(path, found[0]) for path, text in tracked_texts() if (found := excused.search(text))] == []
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    lists = [lint["ruff"]["lint"]["ignore"], *lint["ruff"]["lint"]["per-file-ignores"].values()]
    assert not {"F", "F8", "F82", "F" + "821"} & {code for codes in lists for code in codes}
    assert "disable_error_code" not in str(lint["mypy"])


def test_configs_and_the_package_itself_load_without_torch() -> None:
    configs = [path.relative_to(PACKAGE.parent).with_suffix("") for path in SOURCES if path.name == "config.py"]
    modules = ["scratchlm", *(".".join(path.parts) for path in configs)]
    assert len(modules) > 6
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, f'{name} imports torch'\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *modules], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_file_names_a_package_registry() -> None:
    assert [(path, found[0]) for path, text in tracked_texts() if (found := REGISTRIES.search(text))] == []


def test_no_file_names_a_folder_of_one_machine() -> None:
    assert [(path, found[0]) for path, text in tracked_texts() if (found := MACHINE_PATHS.search(text))] == []


def test_the_readme_sets_up_in_exactly_two_lines() -> None:
    assert first_block((ROOT / "README.md").read_text(encoding="utf-8"), "sh") == SET_UP


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_links_between_documents_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text)
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_architecture_names_every_folder_and_only_files_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert [folder for folder in sorted(folders) if f"{folder}/" not in text] == []
    named = re.findall(r"`((?:[a-z_]+/)+[a-z0-9_]+\.py)`", text)
    assert [path for path in named if not (PACKAGE / path).exists() and not (ROOT / path).exists()] == []
    places = re.findall(r"`((?:[a-z_]+/)+[a-z0-9_]+\.py)` `([A-Za-z_.]+)`", text)
    assert len(places) > 10
    assert [place for place in places if not defines(PACKAGE / place[0], place[1])] == []


def defines(path: Path, dotted: str) -> bool:
    """Whether a file defines a function, a class, or `Class.method`."""
    body: list[ast.stmt] = parsed(path).body
    for part in dotted.split("."):
        found = [
            node
            for node in body
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == part
        ]
        if not found:
            return False
        body = found[0].body
    return True
