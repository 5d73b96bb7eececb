"""SQL, the environment, weights, tensor files and speech each have their one place."""

from __future__ import annotations

import ast
import re
from pathlib import Path

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"

SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+(OR\s+\w+\s+)?INTO|DELETE\s+FROM|UPDATE\s+\w+\s+SET"
    r"|(CREATE|DROP|ALTER)\s+(VIRTUAL\s+)?(TABLE|INDEX|TRIGGER)|PRAGMA\s+\w+|BEGIN\s+IMMEDIATE)\b",
    re.DOTALL,
)
MODELS = {"from_pretrained", "from_single_file", "from_config", "snapshot_download"}
PICKLE = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
SPEAKING = {"terminal", "commands", "app", "__main__"}


def outside(sources, rule: str):
    """The modules that are none of the files, and in none of the folders, of a rule's line.

    The line is that of CONTRIBUTING.md which begins with `rule`.
    """
    (line,) = (
        part for part in CONTRIBUTING.read_text("utf-8").split("\n- ") if part.startswith(rule)
    )
    places = tuple(re.findall(r"`([a-z_/]+(?:/|\.py))`", line.split("\n\n")[0]))
    assert places
    return [source for source in sources if not source.path.startswith(places)]


def names_used(source) -> list[tuple[str, int]]:
    """Names and attributes of a module: `a.b` is b."""
    return [
        (node.attr if isinstance(node, ast.Attribute) else node.id, node.lineno)
        for node in source.nodes(ast.Attribute, ast.Name)
    ]


def modules_imported(source) -> set[str]:
    found = set()
    for node in source.nodes(ast.Import, ast.ImportFrom):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            found |= {node.module or "", *(f"{node.module}.{a.name}" for a in node.names)}
    return found


def test_sql_stands_in_few_files(sources) -> None:
    def has_sql(source) -> bool:
        return any(
            isinstance(node.value, str) and SQL.search(node.value)
            for node in source.nodes(ast.Constant)
        )

    assert [s.path for s in outside(sources, "SQL is written") if has_sql(s)] == []
    assert any(has_sql(s) for s in sources), "the pattern finds the SQL that is there"


def test_the_environment_is_read_in_two_files(sources) -> None:
    wrong = [
        f"{source.path}:{line}"
        for source in outside(sources, "Environment variables")
        for name, line in names_used(source)
        if name in ("environ", "environb", "getenv", "putenv", "unsetenv")
    ]
    assert wrong == []


def test_weights_are_loaded_in_one_room(sources) -> None:
    wrong = [
        f"{source.path}:{line} {name}"
        for source in outside(sources, "Weights are loaded")
        for name, line in names_used(source)
        if name in MODELS - {"from_config"}
    ]
    assert wrong == []


def test_tensor_files_have_their_readers(sources) -> None:
    wrong = [
        source.path
        for source in outside(sources, "Tensor files are read")
        if any(module.startswith("safetensors") for module in modules_imported(source))
    ]
    assert wrong == []


def test_nothing_runs_code_from_a_file(sources) -> None:
    wrong = []
    for source in sources:
        wrong += [f"{source.path} {m}" for m in modules_imported(source) if m in PICKLE]
        for node in source.nodes(ast.Call):
            called = ast.unparse(node.func)
            if called in ("torch.load", "yaml.load", "yaml.unsafe_load", "eval", "exec", "np.load"):
                wrong.append(f"{source.path}:{node.lineno} {called}")
    assert wrong == []


def test_only_the_rooms_for_people_print_ask_and_exit(sources) -> None:
    wrong = []
    for source in sources:
        if source.room in SPEAKING:
            continue
        for node in source.nodes(ast.Call):
            if ast.unparse(node.func) in ("print", "input", "exit", "quit", "sys.exit", "os._exit"):
                wrong.append(f"{source.path}:{node.lineno} {ast.unparse(node.func)}")
        for node in source.nodes(ast.Attribute):
            if ast.unparse(node) in ("sys.stdout", "sys.stderr", "sys.stdin"):
                wrong.append(f"{source.path}:{node.lineno} {ast.unparse(node)}")
    assert wrong == []


def test_what_people_read_goes_through_the_terminal(sources) -> None:
    """`print` knows nothing of safe text, of streams that are closed, or of stderr."""
    wrong = [
        f"{source.path}:{node.lineno}"
        for source in sources
        for node in source.nodes(ast.Call)
        if ast.unparse(node.func) in ("print", "input", "typer.confirm", "typer.prompt")
    ]
    assert wrong == []


def test_no_exception_is_swallowed_bare(sources) -> None:
    wrong = []
    for source in sources:
        for node in source.nodes(ast.ExceptHandler):
            if node.type is None:
                wrong.append(f"{source.path}:{node.lineno} except: names nothing")
            elif ast.unparse(node.type) in ("Exception", "BaseException") and all(
                isinstance(statement, ast.Pass) for statement in node.body
            ):
                wrong.append(f"{source.path}:{node.lineno} swallows {ast.unparse(node.type)}")
        wrong += [f"{source.path}:{node.lineno} assert" for node in source.nodes(ast.Assert)]
    assert wrong == []
