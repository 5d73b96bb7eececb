"""The completion script of bash. Bare names are offered: `<` and `>` break words there."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

from ticli.terminal.shells.tree import SHELL_COMMAND, Command, Flag, Value

HEAD = r"""# Completion of ti for bash; `ti completion bash` prints this file.

# Offer the lines of $1 that start with the word typed. compgen -W is not used: it would run
# command substitutions that stand in a tag.
_ti_offer() {
    local word quoted
    while IFS= read -r word; do
        if [[ -n $word && $word == "$cur"* ]]; then
            printf -v quoted '%q' "$word"
            COMPREPLY+=("$quoted")
        fi
    done <<<"$1"
}

_ti_files() {
    local word
    compopt -o filenames 2>/dev/null
    while IFS= read -r word; do
        [[ -n $word ]] && COMPREPLY+=("$word")
    done <<<"$(compgen -f -- "$cur")"
}
"""
BODY = r"""
_ti() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local command= place=0 i
    COMPREPLY=()
    # --flag=value arrives as three words.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        if _ti_takes_value "$command:${COMP_WORDS[i]}"; then
            [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
            ((i++))
        elif [[ ${COMP_WORDS[i]} == -?* ]]; then
            continue
        elif [[ -z $command ]]; then
            command=${COMP_WORDS[i]}
        else
            ((place++))
        fi
    done
    if [[ -n $command ]] && _ti_takes_value "$command:$prev"; then
        _ti_value "$command:$prev"
    elif [[ $cur == -* ]]; then
        _ti_flags "$command"
    else
        _ti_place "$command" "$place"
    fi
}

complete -F _ti ti
"""


def bash_script(commands: Sequence[Command]) -> str:
    """Write the script for these commands."""
    root = "\n".join(name for command in commands for name in command.names)
    return "".join(
        (
            HEAD,
            _function("_ti_takes_value", [*_takes_value(commands), "    *) return 1 ;;"]),
            _function("_ti_value", _values(commands)),
            _function("_ti_flags", _flags(commands)),
            _function("_ti_place", [f"    '') _ti_offer {_lines(root)} ;;", *_places(commands)]),
            BODY,
        )
    )


def _function(name: str, cases: Sequence[str]) -> str:
    return "\n".join((f"\n{name}() {{", "    case $1 in", *cases, "    esac", "}", ""))


def _takes_value(commands: Sequence[Command]) -> list[str]:
    return [
        f"    {_pattern(command, flag)}) return 0 ;;"
        for command in commands
        for flag in command.flags
        if flag.value is not None
    ]


def _values(commands: Sequence[Command]) -> list[str]:
    return [
        f"    {_pattern(command, flag)}) {_offer(flag.value)} ;;"
        for command in commands
        for flag in command.flags
        if flag.value is not None and _offer(flag.value) != ":"
    ]


def _flags(commands: Sequence[Command]) -> list[str]:
    root = _lines("-h\n--help\n-V\n--version")
    cases = [f"    '') _ti_offer {root} ;;"]
    for command in commands:
        names = "\n".join(name for flag in command.flags for name in flag.names)
        cases.append(f"    {'|'.join(command.names)}) _ti_offer {_lines(names)} ;;")
    return cases


def _places(commands: Sequence[Command]) -> list[str]:
    cases = []
    for command in commands:
        names = "|".join(command.names)
        if command.endless and len(command.places) == 1:
            cases.append(f"    {names}) {_offer(command.places[0])} ;;")
        elif command.places:
            inner = " ".join(f"{i}) {_offer(p)} ;;" for i, p in enumerate(command.places))
            cases.append(f"    {names}) case $2 in {inner} esac ;;")
    return cases


def _pattern(command: Command, flag: Flag) -> str:
    return "|".join(f"{name}:{option}" for name in command.names for option in flag.names)


def _offer(value: Value) -> str:
    steps = []
    if value.choices:
        steps.append(f"_ti_offer {_lines(chr(10).join(value.choices))}")
    if value.kind == "files":
        steps.append("_ti_files")
    elif value.kind:
        steps.append(f'_ti_offer "$({SHELL_COMMAND} {value.kind} "$cur" 2>/dev/null)"')
    return "; ".join(steps) or ":"


def _lines(text: str) -> str:
    """Quote lines for bash as $'…'; the words of the tree hold no quotes or backslashes."""
    return "$" + quote(text).replace("\n", "\\n") if "\n" in text else quote(text)
