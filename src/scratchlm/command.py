"""One command: how its settings are read from a command line or from a Python call, and where its code is.

Both ways end in given values by dotted name. They are put over their base, which is the run to resume, else what
the config's class says holds where nothing is given (a recipe's values, a method's, a model's), else its defaults.
What a command needs is named as text and imported when it is used, so that `import scratchlm` and `--help` load no
torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from scratchlm.base.errors import UserError, raise_all

Arguments = Sequence[str]
HELP = ("-h", "--help", "--help-all")
Named = Mapping[str, Any]


def imported(place: str) -> Any:
    """Import what a text such as `pretraining.pretrain:pretrain` names in this package."""
    module, _, name = place.partition(":")
    return getattr(import_module(f"scratchlm.{module}"), name)


@dataclass(frozen=True)
class Command:
    """One thing to do: its words, its sentence, its settings, its function."""

    program: str
    """What follows `scratchlm` on a command line."""
    says: str
    settings: str
    """Where the class of its config is."""
    code: str
    """Where the function of that config is."""
    hidden: tuple[str, ...] = ("json",)
    """Fields that mean something on a terminal alone."""
    objects: tuple[str, ...] = ()
    """What the function takes beside its config, from Python alone."""
    resumes: bool = False
    """Whether `resume` may name a run, whose settings hold then."""
    in_memory: tuple[str, ...] | None = None
    """Arguments that may be texts or rows from memory in a Python call; where it is empty, by the name `data` beside
    the sources that are given by path."""

    def config(self) -> Any:
        """Return the class of its config."""
        return imported(self.settings)

    def function(self) -> Callable[..., Any]:
        """Return what is called with a config."""
        return imported(self.code)

    def from_arguments(self, arguments: Arguments) -> Any:
        """Return the config of a command line; wrong usage prints one line on stderr and exits with 2.

        `--help` and `--help-all` print the settings and exit with 0.
        """
        from scratchlm.config.flags import missing, read_line, wrong_usage
        from scratchlm.config.settings import settings

        cls, program = self.config(), f"scratchlm {self.program}"
        known = settings(cls)
        flags = arguments[: list(arguments).index("--")] if "--" in arguments else arguments
        wanted = [each for each in flags if each in HELP]
        line = read_line([each for each in arguments if each not in wanted], known)
        base = None
        try:
            base = self.base(line.given)
        except UserError:
            if not wanted and (problems := [*line.unknown.values(), *line.problems]):  # found before anything is read
                wrong_usage(program, "; ".join(problems))
            if not wanted:
                raise
        if wanted:
            self._show_help(base, "--help-all" in wanted)
        problems = self._other_kinds(line.given, base)
        unread = cls.unread() if hasattr(cls, "unread") else {}
        problems += [text for name, text in line.unknown.items() if name not in unread]
        problems += [f"{_flag(name)}: has no part here; {unread[name]}" for name in line.unknown if name in unread]
        problems += line.problems
        if absent := missing(known, line) if base is None else []:
            wrong_usage(program, "; ".join([*problems, *absent]))
        config = None
        try:
            config = self._checked(self._over(base, line.given), tuple(line.given))
        except UserError as error:
            problems.append(str(error))
        if problems:
            wrong_usage(program, "; ".join(dict.fromkeys(problems)))
        return config

    def from_call(self, positional: Sequence[Any], named: Named, overrides: Named | None = None) -> Any:
        """Return the config of a Python call. Raises `UserError` for an argument that is unknown, missing or wrong."""
        from scratchlm.base.config import from_dict
        from scratchlm.config.calls import accepted, given_fields, missing_arguments, named_arguments, parameters

        cls, where, overrides = self.config(), self.program, overrides or {}
        if positional and isinstance(positional[0], cls):
            if len(positional) > 1 or named or overrides:
                raise UserError(f"{where}: a config holds all settings; give it alone, or name settings without it")
            return self._checked(from_dict(cls, accepted(cls, given_fields(positional[0]))), ())
        values = accepted(cls, named_arguments(where, parameters(cls, self.hidden), positional, named))
        base = self.base(values)
        if base is None and (absent := missing_arguments(parameters(cls), values)):
            raise UserError(f"{where}: {', '.join(absent)}: missing; give a value for each")
        return self._checked(self._over(base, values, overrides), tuple(overrides))

    def base(self, given: Named) -> Any:
        """Return the config whose values hold where nothing is given; None where those are the class's defaults."""
        cls = self.config()
        if self.resumes and given.get("resume"):
            return imported("runs.resuming:stored_settings")(cls, Path(given["resume"]))
        return cls.base_for(given) if hasattr(cls, "base_for") else None

    def _over(self, base: Any, *given: Named) -> Any:
        """Put given values by dotted name over a base, the later over the earlier; the config notes what was given.

        Raises `UserError` for each name or value that does not fit.
        """
        from scratchlm.base.config import from_dict, nested, with_origins

        config, names = base, [name for values in given for name in values]
        for values in given:
            config = from_dict(self.config(), nested(self.program, values), "", config)
        return with_origins(config, names, "flag")

    @staticmethod
    def _checked(config: Any, given: Sequence[str]) -> Any:
        """Return a config. Raises `UserError` for what it lacks, and for what was given and has no part in it.

        A program may name values that are the usual ones, so `given` are those of a command line, or overrides.
        """
        missing: list[str] = config.missing() if hasattr(config, "missing") else []
        raise_all(missing + (config.idle(given) if hasattr(config, "idle") else []))
        return config

    def _show_help(self, base: Any, everything: bool) -> NoReturn:
        """Print the help of a command whose values are those of `base` where nothing is given, and exit with 0."""
        from scratchlm.config.help import show_settings
        from scratchlm.config.settings import settings, usual_values

        cls = self.config()
        base = usual_values(cls) if base is None else base
        says = inspect.getdoc(cls) or self.says
        common = None if everything else getattr(cls, "common", ())
        show_settings(f"scratchlm {self.program}", says, settings(cls, base), base, common=common)
        raise SystemExit(0)

    def _other_kinds(self, given: dict[str, Any], base: Any) -> list[str]:
        """Take out what was given for a part of another kind than that of the base, and say so."""
        from scratchlm.config.settings import settings, usual_values

        cls = self.config()
        here = {each.path for each in settings(cls, usual_values(cls) if base is None else base)}
        chosen = tuple(path.removesuffix("type") for path in given if path.endswith(".type"))
        others = [path for path in given if path not in here and not path.startswith(chosen or "-")]
        for path in others:
            del given[path]
        return [f"{_flag(path)}: is no setting of this kind of {path.rpartition('.')[0]}" for path in others]


def _flag(path: str) -> str:
    return f"--{path.replace('_', '-')}"
