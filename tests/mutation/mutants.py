"""The mutants of one module: its syntax tree with one small thing changed.

Not changed are docstrings, annotations, decorators, imports and the words of messages.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType

from tests.mutation.operators import replacements

_NOT_CHANGED = (
    "annotation",
    "returns",
    "decorator_list",
    "bases",
    "type_params",
    "pattern",
    "type",
    "op",
    "ops",
    "ctx",
)
CORE = Path(__file__).resolve().parents[2] / "reconciler" / "core"


@dataclass(frozen=True)
class Mutant:
    """One change to one module.

    Attributes:
        module: the path of its file below the core, dotted, without the ending.
        function: the function or method at the top that is changed; empty for the module's or a class's own body.
        line: its number.
        text: the line without its indentation.
        was, now: the changed expression or statement.
    """

    module: str
    function: str
    line: int
    text: str
    was: str
    now: str
    _tree: ast.Module = field(repr=False, compare=False)
    _holder: ast.AST = field(repr=False, compare=False)
    _name: str = field(repr=False, compare=False)
    _index: int | None = field(repr=False, compare=False)
    _node: ast.AST = field(repr=False, compare=False)

    @property
    def path(self) -> Path:
        """The file that is changed."""
        return _path(self.module)

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What it is known by when lines move."""
        return (self.module, self.function, self.text, self.was, self.now)

    def __str__(self) -> str:
        """Where it is, and what is changed."""
        return f"reconciler/core/{self.path.relative_to(CORE)}:{self.line}: {self.was} -> {self.now}"

    @property
    def users(self) -> frozenset[str]:
        """The modules of the core that may use a constant or a class of the changed one."""
        wanted = f"from reconciler.core.{self.module} import"
        return frozenset({self.module, *(each for each in modules() if wanted in _source(each))})

    @property
    def _original(self) -> ast.AST:
        held = getattr(self._holder, self._name)
        return held if self._index is None else held[self._index]  # type: ignore[no-any-return]

    def compiled(self) -> CodeType:
        """The module's code with the change; the tree is left as it was."""
        old = self._put(self._node)
        try:
            return compile(ast.fix_missing_locations(self._tree), str(self.path), "exec", dont_inherit=True)
        finally:
            self._put(old)

    def _put(self, node: ast.AST) -> ast.AST:
        old = self._original
        if self._index is None:
            setattr(self._holder, self._name, node)
        else:
            getattr(self._holder, self._name)[self._index] = node
        return old


def modules() -> tuple[str, ...]:
    """The modules of the core."""
    return tuple(sorted(module_of(path) for path in CORE.rglob("*.py") if path.stem != "__init__"))


def module_of(path: Path) -> str:
    """The dotted name of a file below the core."""
    return ".".join(path.relative_to(CORE).with_suffix("").parts)


def mutants_of(module: str) -> tuple[Mutant, ...]:
    """Every mutant of a module, in the order of its text."""
    return _Walk(module, _source(module)).mutants()


@cache
def _source(module: str) -> str:
    return _path(module).read_text()


def _path(module: str) -> Path:
    return CORE.joinpath(*module.split(".")).with_suffix(".py")


class _Walk:
    """One walk through a module's tree."""

    def __init__(self, module: str, source: str) -> None:
        self._module = module
        self._lines = source.splitlines()
        self._tree = ast.parse(source)

    def mutants(self) -> tuple[Mutant, ...]:
        return tuple(self._below(self._tree, (), in_function=False))

    def _below(self, holder: ast.AST, within: tuple[str, ...], *, in_function: bool) -> Iterator[Mutant]:
        for name, index, node in _children(holder):
            if isinstance(node, ast.expr | ast.stmt):
                for other in replacements(node, holder):
                    yield self._mutant(holder, name, index, node, other, within if in_function else ())
            named = not in_function and isinstance(node, ast.FunctionDef | ast.ClassDef)
            deeper = (*within, node.name) if named and isinstance(node, ast.FunctionDef | ast.ClassDef) else within
            inside = in_function or isinstance(node, ast.FunctionDef)
            yield from self._below(node, deeper, in_function=inside)

    def _mutant(
        self,
        holder: ast.AST,
        name: str,
        index: int | None,
        node: ast.expr | ast.stmt,
        now: ast.AST,
        within: tuple[str, ...],
    ) -> Mutant:
        text = self._lines[node.lineno - 1].strip()
        said = "nothing" if isinstance(now, ast.Pass) else ast.unparse(now)
        function = ".".join(within)
        was = ast.unparse(node)
        return Mutant(self._module, function, node.lineno, text, was, said, self._tree, holder, name, index, now)


def _children(holder: ast.AST) -> Iterator[tuple[str, int | None, ast.AST]]:
    """What is below a node and may change, and where it hangs."""
    for name, value in ast.iter_fields(holder):
        if name in _NOT_CHANGED:
            continue
        if isinstance(value, list):
            yield from ((name, index, each) for index, each in enumerate(value) if _may_change(each))
        elif _may_change(value):
            yield name, None, value


def _may_change(value: object) -> bool:
    return isinstance(value, ast.AST) and not isinstance(value, ast.JoinedStr | ast.Import | ast.ImportFrom)
