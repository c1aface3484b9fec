"""One verb: how its settings are resolved from a command line or a Python call, and where its code is.

Both ways end in a config of one class. `Verb.defaults` makes the values that hold where nothing is said (those of a
recipe, a method, a model, a form of an experiment), or a run to resume has them; what is said goes on top. Modules are
imported when a verb is used, so that `import scratchlm` and `--help` load no torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Generic, NoReturn, TypeVar

from scratchlm.base.errors import UserError, raise_all

if TYPE_CHECKING:
    from scratchlm.config.flags import Line

Arguments = Sequence[str]
HELP = ("-h", "--help", "--help-all")
Named = Mapping[str, Any]


class Lazy:
    """A package of which a module is imported when a dotted name leads into it, and not before."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        place = import_module(self._name)
        if hasattr(place, "__path__") and find_spec(f"{self._name}.{name}") is not None:
            return Lazy(f"{self._name}.{name}")
        return getattr(place, name)


C = TypeVar("C")


@dataclass(frozen=True)
class Verb(Generic[C]):
    """One thing to do. What is behind `config`, `function` and `resumed` is imported when they are called."""

    program: str
    """What follows `scratchlm` on a command line."""
    says: str
    config: Callable[[], type[C]]
    """Returns what a user can say."""
    function: Callable[[], Callable[Concatenate[C, ...], Any]]
    """Returns what is called with a config."""
    defaults: Callable[[Named], Any] | None = None
    """From what is said: the config whose values hold where nothing is. None: the class's own."""
    hidden: tuple[str, ...] = ("json", "explicit")
    """Fields that mean something on a terminal alone."""
    objects: tuple[str, ...] = ()
    """What the function takes beside its config, from Python alone."""
    resumed: Callable[[], type[C]] | None = None
    """Returns the config that a run stores, where `resume` may name one: its values hold then."""

    def run(self, config: C, **objects: Any) -> Any:
        """Call the function."""
        return self.function()(config, **objects)

    def from_arguments(self, arguments: Arguments) -> Any:
        """Return the config of a command line; wrong usage prints one line on stderr and exits with 2.

        `--help` and `--help-all` print the settings and exit with 0.
        """
        from scratchlm.config.flags import read_line, wrong_usage
        from scratchlm.config.settings import settings

        cls, program = self.config(), f"scratchlm {self.program}"
        flags = arguments[: list(arguments).index("--")] if "--" in arguments else arguments
        wanted = [each for each in flags if each in HELP]
        line = read_line([each for each in arguments if each not in wanted], settings(cls))
        stored = base = None
        try:
            stored = self._stored(line.given)
            base = stored if stored is not None or self.defaults is None else self.defaults(line.given)
        except UserError:
            if not wanted and (problems := [*line.unknown.values(), *line.problems]):  # found before anything is read
                wrong_usage(program, "; ".join(problems))
            if not wanted:
                raise
        target: Any = cls if base is None else type(base)
        if wanted:
            self._show_help(target, base, "--help-all" in wanted)
        config, problems = self._built(target, read_line(arguments, settings(target)), base)
        if problems:
            wrong_usage(program, "; ".join(dict.fromkeys(problems)))
        _refuse_changes(config, stored)
        return config

    def _built(self, target: Any, line: Line, base: Any) -> tuple[Any, list[str]]:
        """Return the config of what a line says over a base, and all that is wrong with the line."""
        from scratchlm.base.config import from_dict
        from scratchlm.config.calls import nested
        from scratchlm.config.flags import missing
        from scratchlm.config.settings import settings, usual_values

        _refuse_other_kinds(line, target, usual_values(target) if base is None else base)
        unread = target.unread() if hasattr(target, "unread") else {}
        idle = [name for name in unread if name in line.given or name in line.unknown]
        problems = [f"--{name.replace('_', '-')}: has no part here; {unread[name]}" for name in idle]
        problems += [problem for name, problem in line.unknown.items() if name not in idle]
        problems += line.problems
        absent = missing(settings(target), line) if base is None else []
        if absent:
            return None, problems + absent
        try:
            config = _noted(from_dict(target, nested(self.program, line.given), "", base), line.given)
        except UserError as error:
            return None, [*problems, str(error)]
        return config, problems + _problems(config, line.given)

    def _show_help(self, target: Any, base: Any, everything: bool) -> NoReturn:
        """Print the help of a command whose values are those of `base` where nothing is given, and exit with 0."""
        from scratchlm.config.help import show_settings
        from scratchlm.config.settings import settings, usual_values

        cls = self.config()
        if base is None:
            base = usual_values(target)
        says = inspect.getdoc(cls if issubclass(target, cls) else target) or self.says
        show_settings(f"scratchlm {self.program}", says, settings(target, base), base, everything)
        raise SystemExit(0)

    def from_call(self, positional: Sequence[Any], named: Named, overrides: Named | None = None) -> Any:
        """Return the config of a Python call. Raises `UserError` for an argument that is unknown, missing or wrong."""
        from scratchlm.config.calls import by_place, config_from, named_arguments, parameters

        cls, where = self.config(), self.program
        if positional and isinstance(positional[0], cls):
            if len(positional) > 1 or named or overrides:
                raise UserError(f"{where}: a config holds all settings; give it alone, or name settings without it")
            config = config_from(where, type(positional[0]), vars(positional[0]))  # text becomes a path here too
            raise_all(_problems(config, ()))
            return config
        stored = default = self._stored(named)
        if default is None and self.defaults is not None:
            default = self.defaults({**by_place(parameters(cls), positional), **named})
        target = cls if default is None else type(default)  # a resolved config, or a kind with fields of its own
        overrides = overrides or {}
        known = parameters(cls if issubclass(target, cls) else target, self.hidden)
        values = named_arguments(where, known, positional, named)
        config = _noted(config_from(where, target, values, overrides, default), [*values, *overrides])
        raise_all(_problems(config, overrides))
        _refuse_changes(config, stored)
        return config

    def _stored(self, named: Named) -> Any:
        """Return the settings of the run that `resume` names, or None; `UserError` where the folder is no run."""
        run = named.get("resume")
        if self.resumed is None or not run:
            return None
        from scratchlm.runs.resuming import stored_settings

        return stored_settings(self.resumed(), Path(run))


def _refuse_other_kinds(line: Line, target: Any, base: Any) -> None:
    """Move what was given for a part of another kind than that of the base to what is unknown."""
    from scratchlm.config.settings import settings

    here = {each.path for each in settings(target, base)}
    every = {each.path: each for each in settings(target)}
    chosen = tuple(path.removesuffix("type") for path in line.given if path.endswith(".type"))
    for path in [each for each in line.given if each not in here and not each.startswith(chosen or "-")]:
        del line.given[path]
        line.unknown[path] = f"{every[path].flag}: is no setting of this kind of {path.rpartition('.')[0]}"


def _noted(config: Any, names: Iterable[str]) -> Any:
    """Return a config that knows which settings were given too, if it notes that; those of a recipe it knows."""
    return replace(config, explicit=(*config.explicit, *names)) if hasattr(config, "explicit") else config


def _refuse_changes(config: Any, stored: Any) -> None:
    """Refuse settings other than those of the run to resume."""
    if stored is not None:
        from scratchlm.runs.resuming import refuse_flags

        refuse_flags(config, stored)


def _problems(config: Any, said: Sequence[str] | Named) -> list[str]:
    """Return what a config lacks, and what was said that has no part in it."""
    missing: list[str] = config.missing() if hasattr(config, "missing") else []
    return missing + (config.idle(said) if hasattr(config, "idle") else [])
