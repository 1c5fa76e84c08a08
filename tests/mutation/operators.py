"""What a node of the syntax tree can be changed into, one small change at a time."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from typing import Final

from specs.status import Reason

_COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}
_CALLED: Final = {"max": "min", "min": "max", "any": "all", "all": "any", "sorted": "list"}
_REASONS: Final = {one.name: other.name for one, other in itertools.pairwise([*Reason, next(iter(Reason))])}


def replacements(node: ast.expr | ast.stmt, holder: ast.AST) -> Iterator[ast.AST]:
    """The changes of one node; what lies below it has its own."""
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[other]):
            yield from (ast.Compare(left, [new()], [other]) for new in _COMPARISONS[type(op)])
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC and not _is_text(left, right):
            yield ast.BinOp(left, _ARITHMETIC[type(op)](), right)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.Attribute(value=ast.Name(id="Reason"), attr=attr, ctx=ctx):
            yield ast.Attribute(ast.Name("Reason", ast.Load()), _REASONS[attr], ctx)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords) if name in _CALLED:
            kept = [] if name == "sorted" else keywords
            yield ast.Call(ast.Name(_CALLED[name], ast.Load()), arguments, kept)
        case ast.stmt():
            yield from _of_statement(node)
        case _:
            pass
    if isinstance(node, ast.expr):
        yield from _of_place(node, holder)


def _of_statement(node: ast.stmt) -> Iterator[ast.AST]:
    """Statements that are left out."""
    match node:
        case ast.Expr(value=ast.Constant()):
            return
        case ast.Expr() | ast.Raise() | ast.AugAssign() | ast.Continue() | ast.Break():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case _:
            return


def _of_place(node: ast.expr, holder: ast.AST) -> Iterator[ast.expr]:
    """Changes that come of where an expression stands: a condition negated, a value that is None."""
    if isinstance(node, ast.Constant):
        return
    match holder:
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) if test is node:
            yield from _negated(node)
        case ast.comprehension(ifs=conditions) if any(each is node for each in conditions):
            yield from _negated(node)
        case ast.BoolOp():
            yield from _negated(node)
        case ast.Return():
            yield ast.Constant(None)
        case ast.keyword(arg=name) if name not in ("key", "default_factory") and not isinstance(node, ast.JoinedStr):
            yield ast.Constant(None)
        case _:
            return


def _negated(node: ast.expr) -> Iterator[ast.expr]:
    """Its opposite, where no other change is that already."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return
    yield ast.UnaryOp(ast.Not(), node)


def _is_text(*nodes: ast.expr) -> bool:
    return any(isinstance(each, ast.JoinedStr) or _is_string(each) for each in nodes)


def _is_string(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
