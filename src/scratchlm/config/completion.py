"""Scripts that complete commands, flags and their values in a shell; files are completed as the shell does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scratchlm.config.settings import Place, Positional, Setting

Shell = Literal["bash", "zsh", "fish"]


@dataclass(frozen=True)
class CompletionConfig:
    """Print a script that completes commands, flags and values in a shell.

    bash: source <(scratchlm completion bash). zsh: the same with zsh, after compinit. fish: scratchlm completion fish |
    source. The line in the shell's start-up file does it for every terminal.
    """

    shell: Positional[Shell]
    """Shell to complete in."""


def script(shell: Shell, programs: Mapping[str, Sequence[Setting]]) -> str:
    """Return the script of a shell. `programs` are the words that name each command, with its settings."""
    if shell == "fish":
        return _fish(programs)
    bash = _bash(programs)
    return bash if shell == "bash" else f"autoload -U +X bashcompinit && bashcompinit\n{bash}"


def _following(programs: Mapping[str, Sequence[Setting]]) -> dict[str, list[str]]:
    """Return the words that may follow each beginning of a command."""
    following: dict[str, list[str]] = {}
    for program in programs:
        words = program.split()
        for place, word in enumerate(words):
            after = following.setdefault(" ".join(words[:place]), [])
            if word not in after:
                after.append(word)
    return following


def _flags(known: Sequence[Setting]) -> dict[str, Setting]:
    return {each.flag: each for each in known if each.place is not Place.FIRST}


def _bash(programs: Mapping[str, Sequence[Setting]]) -> str:
    """Return a function of bash. It walks over the words that name a command, then offers what may follow."""
    following = _following(programs)
    named = "|".join(f'"{f"{before} {word}".strip()}"' for before, words in following.items() for word in words)
    values = [
        f'        "{program} {flag}") words="{" ".join(each.choices)}" ;;'
        for program, known in programs.items()
        for flag, each in _flags(known).items()
        if each.choices
    ]
    inner = [f'            "{before}") words="{" ".join(words)}" ;;' for before, words in following.items()]
    leaves = [f'            "{program}") flags="{" ".join(_flags(known))}" ;;' for program, known in programs.items()]
    lines = [
        "_scratchlm() {",
        '    local word="${COMP_WORDS[COMP_CWORD]}" program="" words="" flags="" place',
        "    for ((place = 1; place < COMP_CWORD; place++)); do",
        '        case "${program:+$program }${COMP_WORDS[place]}" in',
        f'            {named}) program="${{program:+$program }}${{COMP_WORDS[place]}}" ;;',
        "            *) break ;;",
        "        esac",
        "    done",
        '    case "$program ${COMP_WORDS[COMP_CWORD-1]}" in',
        *values,
        '        *) case "$program" in',
        *inner,
        *leaves,
        "        esac ;;",
        "    esac",
        '    case "$word" in -*) words="$words $flags --help --help-all" ;; esac',
        '    COMPREPLY=($(compgen -W "$words" -- "$word"))',
        "}",
        "complete -o bashdefault -o default -F _scratchlm scratchlm",
    ]
    return "\n".join(lines)


def _fish(programs: Mapping[str, Sequence[Setting]]) -> str:
    """Return one `complete` of fish for each word and flag."""
    lines = ["complete -c scratchlm -e"]
    for before, words in _following(programs).items():
        used = before.split()
        seen = [f"__fish_seen_subcommand_from {word}" for word in used]
        seen.append(f"not __fish_seen_subcommand_from {' '.join(words)}")
        lines.append(f"complete -c scratchlm -f -n '{'; and '.join(seen)}' -a '{' '.join(words)}'")
    for program, known in programs.items():
        within = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in program.split())
        for flag, each in _flags(known).items():
            says = each.says.split(". ")[0].replace("\\", "").replace("'", "")[:80]
            takes = f" -x -a '{' '.join(each.choices)}'" if each.choices else " -r" if each.values else ""
            lines.append(f"complete -c scratchlm -n '{within}' -l {flag.removeprefix('--')}{takes} -d '{says}'")
    return "\n".join(lines)
