"""The house's rules on source files: each takes a file and answers what breaks it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

FUNCTION_LINES_MAX: Final = 70
MODULE_LINES_MAX: Final = 500
SENTENCE_WORDS_MIN: Final = 2

OWNERS: Final = {
    "asyncpg": ("shared/chaching/eventstore/database.py", "shared/chaching/eventstore/errors.py"),
    "aio_pika": ("shared/chaching/broker/",),
    "aiormq": ("shared/chaching/broker/",),
    "pamqp": ("shared/chaching/broker/",),
    "aiohttp": ("services/api/chaching_api/",),
    "structlog": ("shared/chaching/runtime/logs.py",),
    "uvloop": ("shared/chaching/runtime/lifecycle.py",),
}
VAGUE_MODULES: Final = re.compile(r"_*(utils?|helpers?|common|misc|manager|base(_.*)?)")
VAGUE_CLASSES: Final = re.compile(r"Base[A-Z].*|.*(Manager|Helper|Utils?|Service)")
VAGUE_FUNCTIONS: Final = re.compile(
    r"_?(process|handle|do|manage)_(data|stuff|things|it)|process_.*"
)

TIME: Final = re.compile(
    r"_(TIMEOUT|DEADLINE|GRACE|POLL|PAUSE|WAIT|EVERY|SILENCE|LIMIT|DEBOUNCE|INTERVAL)(?=_|$)"
)
AMOUNT: Final = re.compile(r"_(MAX|MIN)(?=_|$)")
PLURAL: Final = re.compile(r"[A-Z0-9]{2,}S")
WITHOUT_UNIT: Final = frozenset({"INT64_MAX", "INT64_MIN", "CLIENT_FAULT_MAX"})

MACHINE: Final = re.compile(
    r"([/]root|[/]work|[/]Users|[/]home[/](?!linuxbrew)\w+)[/]|\b[A-Z]:\\\w"
)
REGISTRY: Final = re.compile(
    r"(?<!emit-)(?:extra-)?index[-_]url|pypi[.]org|pythonhosted[.]org|npmjs[.](?:org|com)"
    r"|https?://[^\s\"']+/simple\b"
)
IGNORED: Final = re.compile(r"#\s*(noqa|type:\s*ignore|pyright:\s*ignore)(?P<rest>.*)")
REASONED: Final = re.compile(r"(: ?[A-Z]+\d+(, [A-Z]+\d+)*|\[\w+(, \w+)*\]) - \S.*")
BROAD_CATCHERS: Final = (
    "services/api/chaching_api/boundary.py",
    "shared/chaching/eventstore/grouping.py",
    "shared/chaching/runtime/lifecycle.py",
)


class File(msgspec.Struct, frozen=True):
    """A file of the project; ``path`` is relative to its root, with slashes."""

    path: str
    text: str

    @property
    def is_python(self) -> bool:
        return self.path.endswith(".py")

    @property
    def is_product(self) -> bool:
        return self.is_python and self.path.startswith(("shared/", "services/"))

    @property
    def is_test_module(self) -> bool:
        return self.is_python and self.path.startswith("tests/") and self.name.startswith("test_")

    @property
    def name(self) -> str:
        return Path(self.path).stem

    def nodes(self) -> Iterator[ast.AST]:
        return ast.walk(ast.parse(self.text))


Rule: TypeAlias = Callable[[File], Iterator[str]]


def functions_are_short(file: File) -> Iterator[str]:
    if not file.is_python:
        return
    for node in file.nodes():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.name} has {lines} lines"


def modules_are_short(file: File) -> Iterator[str]:
    lines = file.text.count("\n")
    if file.is_python and lines > MODULE_LINES_MAX:
        yield f"{lines} lines"


def names_say_something(file: File) -> Iterator[str]:
    if not file.is_python:
        return
    parts = [Path(part).stem for part in Path(file.path).parts]
    yield from (part for part in parts if VAGUE_MODULES.fullmatch(part))
    if not file.is_product:
        return
    for node in file.nodes():
        match node:
            case ast.ClassDef(name=name) if VAGUE_CLASSES.fullmatch(name):
                yield f"class {name}"
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if VAGUE_FUNCTIONS.fullmatch(name):
                    yield f"function {name}"
            case _:
                pass


def libraries_have_one_owner(file: File) -> Iterator[str]:
    if not file.is_product:
        return
    for node in file.nodes():
        for library in imported(node):
            if library in OWNERS and not file.path.startswith(OWNERS[library]):
                yield f"imports {library}"


def imported(node: ast.AST) -> Iterator[str]:
    """Yield the top names that a node imports, also through importlib with a literal name."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name.partition(".")[0] for alias in names)
        case ast.ImportFrom(module=str(module), level=0):
            yield module.partition(".")[0]
        case ast.Call(args=[ast.Constant(value=str(name)), *_], func=called):
            if "import" in ast.unparse(called):
                yield name.partition(".")[0]
        case _:
            pass


def no_machine_is_named(file: File) -> Iterator[str]:
    yield from (found[0] for found in MACHINE.finditer(file.text))


def no_registry_is_named(file: File) -> Iterator[str]:
    yield from (found[0] for found in REGISTRY.finditer(file.text))


def limits_carry_a_unit(file: File) -> Iterator[str]:
    if not file.is_python:
        return
    for name in number_constants(file):
        if TIME.search(f"_{name}"):
            if not name.endswith("_S"):
                yield f"{name}: seconds end in _S"
        elif file.is_product and AMOUNT.search(name) and name not in WITHOUT_UNIT:
            words = AMOUNT.sub("", name).split("_")
            if words[-1] != "S" and not any(PLURAL.fullmatch(word) for word in words):
                yield f"{name}: of what?"


def number_constants(file: File) -> Iterator[str]:
    """Yield the names in capitals that a module gives a number."""
    for node in ast.parse(file.text).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name.isupper():
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                if not name.isupper():
                    continue
            case _:
                continue
        numbers = [n for n in ast.walk(value) if isinstance(n, ast.Constant)]
        if numbers and all(type(n.value) in {int, float} for n in numbers):
            yield name


def ignores_say_what_and_why(file: File) -> Iterator[str]:
    if not file.is_product:
        return
    for line in file.text.splitlines():
        found = IGNORED.search(line)
        if found and not REASONED.fullmatch(found["rest"]):
            yield line.strip()


def bugs_are_caught_in_few_places(file: File) -> Iterator[str]:
    if not file.is_product or file.path in BROAD_CATCHERS:
        return
    for node in file.nodes():
        if isinstance(node, ast.ExceptHandler):
            caught = "all" if node.type is None else ast.unparse(node.type)
            swallows = not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            if caught in {"all", "Exception", "BaseException"} and swallows:
                yield f"line {node.lineno} catches {caught}"


def tests_assert(file: File) -> Iterator[str]:
    if not file.is_test_module:
        return
    if not any(isinstance(node, ast.Assert) for node in file.nodes()):
        yield "no assert"
    if not any(tests_of(file)):
        yield "no test"


def tests_of(file: File) -> Iterator[str]:
    for node in file.nodes():
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if name.startswith("test_"):
                    yield name
            case _:
                pass


def tests_are_collected(file: File) -> Iterator[str]:
    if file.is_python and file.path.startswith("tests/") and not file.is_test_module:
        yield from tests_of(file)


def tests_are_sentences(file: File) -> Iterator[str]:
    if file.is_test_module:
        yield from (name for name in tests_of(file) if name.count("_") < SENTENCE_WORDS_MIN)


def nothing_is_skipped(file: File) -> Iterator[str]:
    """A test that makes no sense on a system or for a user may say so; all others run."""
    if not file.path.startswith("tests/") or not file.is_python:
        return
    for node in file.nodes():
        match node:
            case ast.Attribute(attr="skip" | "xfail" | "importorskip" as name):
                yield f"line {node.lineno}: {name}"
            case ast.Call(func=ast.Attribute(attr="skipif"), args=args, keywords=keywords):
                condition = " ".join(ast.unparse(arg) for arg in args)
                about_the_system = "sys.platform" in condition or "os.geteuid" in condition
                if not about_the_system or [k.arg for k in keywords] != ["reason"]:
                    yield f"line {node.lineno}: skipif"
            case _:
                pass


def tests_wait_for_something(file: File) -> Iterator[str]:
    """Only what all tests share may sleep between two looks; a turn of the loop is no sleep."""
    if not file.is_test_module:
        return
    for node in file.nodes():
        match node:
            case ast.Call(func=called, args=args) if ast.unparse(called).endswith("sleep"):
                if [ast.unparse(arg) for arg in args] != ["0"]:
                    yield f"line {node.lineno}: {ast.unparse(node)}"
            case _:
                pass


RULES: Final[tuple[Rule, ...]] = (
    functions_are_short,
    modules_are_short,
    names_say_something,
    libraries_have_one_owner,
    no_machine_is_named,
    no_registry_is_named,
    limits_carry_a_unit,
    ignores_say_what_and_why,
    bugs_are_caught_in_few_places,
    tests_assert,
    tests_are_collected,
    tests_are_sentences,
    nothing_is_skipped,
    tests_wait_for_something,
)
