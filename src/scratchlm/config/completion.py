"""Scripts that complete commands, flags and their values in a shell; files are completed as the shell does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scratchlm.config.settings import Place, Positional, Setting

HELP = ("--help", "--help-all")
Shell = Literal["bash", "zsh", "fish"]
ZSH = "autoload -U +X bashcompinit && bashcompinit"
"""Lets zsh use a function that was written for bash."""
FISH = """\
function __scratchlm_at
    set -l words (commandline -opc)[2..]
    string match -q -- "$argv *" "$words "
end
function __scratchlm_ends
    set -l words (commandline -opc)[2..]
    test "$words" = "$argv"
end"""
"""Functions of fish: whether the line begins with these words, and whether it has no others yet."""


@dataclass(frozen=True)
class CompletionConfig:
    """Print a script that completes commands, flags and values in a shell.

    bash: source <(scratchlm completion bash). zsh: the same with zsh. fish: scratchlm completion fish |
    source. The line in the shell's start-up file does it for every terminal.
    """

    shell: Positional[Shell]
    """Shell to complete in."""


def script(shell: Shell, programs: Mapping[str, Sequence[Setting]]) -> str:
    """Return the script of a shell. `programs` are the words that name each command, with its settings."""
    if shell == "fish":
        return _fish(programs)
    bash = _bash(programs)
    if shell == "bash":
        return bash
    return f"(( $+functions[compdef] )) || {{ autoload -U compinit && compinit }}\n{ZSH}\n{bash}"


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


def _first_words(known: Sequence[Setting]) -> list[str]:
    """Return the values that may stand without a flag."""
    return [str(choice) for each in known if each.place is Place.FIRST for choice in each.choices or ()]


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
    leaves = [
        f'            "{program}") words="{" ".join(_first_words(known))}" flags="{" ".join(_flags(known))}" ;;'
        for program, known in programs.items()
    ]
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
        f'    case "$word" in -*) words="$words $flags {" ".join(HELP)}" ;; esac',
        '    COMPREPLY=($(compgen -W "$words" -- "$word"))',
        "}",
        "complete -o bashdefault -o default -F _scratchlm scratchlm",
    ]
    return "\n".join(lines)


def _fish(programs: Mapping[str, Sequence[Setting]]) -> str:
    """Return one `complete` of fish for each word and flag."""
    lines = [FISH, "complete -c scratchlm -e"]
    for before, words in _following(programs).items():
        lines.append(f"complete -c scratchlm -f -n '__scratchlm_ends {before}' -a '{' '.join(words)}'")
    lines += [f"complete -c scratchlm -l {flag.removeprefix('--')} -d 'Show the settings and end'" for flag in HELP]
    for program, known in programs.items():
        begins = f"complete -c scratchlm -n '__scratchlm_at {program}'"
        if words := _first_words(known):
            lines.append(f"{begins} -f -a '{' '.join(words)}'")
        for flag, each in _flags(known).items():
            says = each.says.split(". ")[0].replace("\\", "").replace("'", "")[:80]
            takes = f" -x -a '{' '.join(each.choices)}'" if each.choices else " -r" if each.values else ""
            lines.append(f"{begins} -l {flag.removeprefix('--')}{takes} -d '{says}'")
    return "\n".join(lines)
