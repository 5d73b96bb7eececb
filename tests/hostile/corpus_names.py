"""Items 44 to 49: names and texts that steer terminals, paths, databases and templates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crafted import Case, a1111_json, png, text_chunk, word

STEERING = {
    "clear": "\x1b[2J",
    "title": "\x1b]0;t\x07",
    "clipboard": "\x1b]52;c;aGk=\x07",
    "link": "\x1b]8;;file:///x\x1b\\x",
    "device control": "\x1bPq\x1b\\",
    "C1": "\x9b2J",
    "return": "a\rb",
    "backspaces": "mug\x08\x08\x08cat",
}
MARKUP = {
    "style": "[red]x[/red]",
    "unopened": "[/nope]",
    "link": "[link=file:///x]x[/link]",
    "emoji": ":smile:",
}
ODD = {
    "bidi": "a\u202eb",
    "zero width": "a\u200bb",
    "combining": "a" + "\u0301" * 1000,
    "ZWJ": "👩\u200d👧",
    "1 MB": "x" * (1 << 20),
    "empty": "",
    "spaces": "   ",
}
PATHS = {
    "up": "../../x", "root": "/etc/passwd", "home": "~", "variable": "$HOME", "rf": "-rf",
    "help": "--help", "device": "CON", "slash": "a/b", "dot": "mug.", "newline": "a\nb",
}  # fmt: skip
CLASHES = {
    "case": "MUG", "composed": "é", "decomposed": "e\u0301", "Cyrillic": "mаg", "further": "mug_1",
    "special": "<|endoftext|>",
}  # fmt: skip
CODE = {
    "SQL": "'; DROP TABLE concepts;--",
    "FTS": 'a" OR name:* NEAR(',
    "template": "{} {0.__class__} %s%n",
}
LONGEST_FILE_NAME = 200
# Linux takes 128 KiB an argument.
LONGEST_ARGUMENT = 100_000


def everywhere(text: str) -> object:
    """The text as key, token, noun, hash and metadata of files, in a picture, as a file's name."""

    def build(folder: Path) -> Sequence[Sequence[str]]:
        calls: list[list[str]] = []

        def give(name: str, data: bytes) -> None:
            (folder / name).write_bytes(data)
            calls.append(["import", "--replace", "--", name])

        give("key.safetensors", word(text or "<>"))
        said = {"ti.token": text, "ti.noun": text, "ti.base": text, "modelspec.title": text}
        give("said.safetensors", word("emb_params", said))
        if len(text) < 1 << 18:
            document = a1111_json([[0.01] * 768], name=text, sd_checkpoint_name=text)
            give("card.png", png(text_chunk(document)))
        if 0 < len(text) < LONGEST_FILE_NAME and "/" not in text:
            give(f"{text}.safetensors", word("emb_params"))
        names = [call[-1] for call in calls]
        return [
            *calls, ["inspect", "--", *names], ["inspect", "--json", "--", *names], ["list"],
            ["tag", "--note", text[:LONGEST_ARGUMENT], "key"], ["search", "--", text[:1000] or "x"],
            ["list", "--json"], ["search", "mug"],
        ]  # fmt: skip

    return build


def named(text: str) -> object:
    """The text as the name of an import, behind a concept that is called mug."""

    def build(folder: Path) -> Sequence[Sequence[str]]:
        (folder / "mug.safetensors").write_bytes(word())
        (folder / "other.safetensors").write_bytes(word("<other>", {"a": "b"}))
        (folder / "changed.safetensors").write_bytes(word("<other>")[:-4] + b"\0\0\0\x3c")
        return [
            ["import", "mug.safetensors"],
            ["import", "changed.safetensors", f"--token={text[:LONGEST_ARGUMENT]}"],
        ]

    return build


def case(item: int, name: str, answer: str, build: object, says: str = "") -> Case:
    return Case(item, name, answer, build, says)  # type: ignore[arg-type]


CASES: list[Case] = [
    *(case(44, name, "S", everywhere(text)) for name, text in STEERING.items()),
    *(case(45, name, "S", everywhere(text)) for name, text in MARKUP.items()),
    *(case(46, name, "S", everywhere(text)) for name, text in ODD.items()),
    *(case(46, f"{name} as a name", "R", named(text)) for name, text in ODD.items() if text),
    *(case(47, name, "R", named(text), "cannot be a token|reserved") for name, text in
      PATHS.items()),
    *(case(48, name, "R", named(text), "token|already|further") for name, text in CLASHES.items()),
    case(48, "an ordinary word", "A", named("the")),
    *(case(49, name, "S", everywhere(text)) for name, text in CODE.items()),
    *(case(49, f"{name} as a name", "R", named(text), "token") for name, text in CODE.items()),
]  # fmt: skip
