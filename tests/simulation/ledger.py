"""Every effect of every verb, and every fault that can meet it: read from the code, so that nothing is left out.

A verb is a part of the program that takes steps of its own: each generator that a pass calls, the periodic rounds, and
the worker around them. Its effects are those that its code, and what that code calls, can ask for. A verb or an effect
that is added to the program has its cells here at once, and a cell without a run fails the build.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import cache
from types import CodeType
from typing import Any, NamedTuple

from reconciler.core import effects as all_effects
from reconciler.core import effects as core_effects
from reconciler.core import reconcile as order
from reconciler.core.conditions import record_error
from reconciler.core.effects import DecryptCredentials, Effect
from reconciler.core.reconcile import reconcile
from reconciler.runtime.handlers import READ_HANDLERS, find_handler
from tests.simulation import rounds
from tests.simulation.faults import Kind, applicable
from tests.simulation.steps import Do, ListAll, Release, Step

CORE = "reconciler.core."
WORKER: Mapping[str, type[Step]] = {"claim": Do, "renew": Do, "Release": Release}


class Cell(NamedTuple):
    """A fault at an effect of a verb."""

    verb: str
    effect: str
    kind: Kind


ABSTRACT = {"Effect", "Read", "Mutate"}
IMPOSSIBLE: Mapping[tuple[str, str], str] = {}
"""Effects that the code of a verb names and never asks for, and why."""


@cache
def pass_verbs() -> tuple[str, ...]:
    """The stages, and the record of an error."""
    return tuple(function.__name__ for function in _functions())


def verb_of(steps: Generator[Any, Any, Any]) -> str:
    """Which verb a running generator is at; the generator's own name where it is at none."""
    inner: Any = steps
    while inner is not None:
        name = inner.gi_code.co_name
        if name in pass_verbs():
            return str(name)
        inner = inner.gi_yieldfrom
    outer: Any = steps
    return str(outer.gi_code.co_name)


@cache
def effects() -> Mapping[str, Mapping[str, type[Step]]]:
    """The effects of each verb, by the name of the step."""
    found: dict[str, Mapping[str, type[Step]]] = {}
    for function in _functions():
        found[function.__name__] = dict(_effects(function, set()))
    found["worker"] = WORKER
    found["resync"] = _round(rounds.resync)
    found["deep_resync"] = _round(rounds.deep_resync) | {
        name: each
        for name, each in vars(all_effects).items()
        if name not in ABSTRACT
        and isinstance(each, type)
        and issubclass(each, Effect)
        and each is not DecryptCredentials
        and find_handler(READ_HANDLERS, each)
    }
    return found


def cells() -> Iterator[Cell]:
    """All of them, in a fixed order."""
    for verb, of_verb in sorted(effects().items()):
        for effect, step in sorted(of_verb.items()):
            if (verb, effect) not in IMPOSSIBLE:
                yield from (Cell(verb, effect, kind) for kind in applicable(step))


def _functions() -> tuple[Callable[..., Any], ...]:
    return (*order.STAGES, record_error)


def _round(function: Callable[..., Any]) -> dict[str, type[Step]]:
    """What a periodic round asks for: effects, and statements by the names that it gives them."""
    found: dict[str, type[Step]] = {}
    todo, seen = [function], set()
    while todo:
        each = todo.pop()
        seen.add(each)
        for node in ast.walk(ast.parse(inspect.getsource(each))):
            if not isinstance(node, ast.Call):
                continue
            match node.func:
                case ast.Name("Do"):
                    found[str(ast.literal_eval(node.args[0]))] = Do
                case ast.Name("ListAll"):
                    found["ListAll"] = ListAll
                case ast.Attribute(ast.Name("e"), name):
                    found[name] = vars(core_effects)[name]
                case ast.Name(name) if inspect.isgeneratorfunction(vars(rounds).get(name)):
                    todo += [called] if (called := vars(rounds)[name]) not in seen and called is not reconcile else []
    return found


def _effects(function: Callable[..., Any], seen: set[object]) -> Iterator[tuple[str, type[Step]]]:
    """What a function of the core asks for, itself or by what it calls."""
    seen.add(function)
    for name, each in _named(function):
        if _is_effect(each):
            yield name, each
        elif inspect.isfunction(each) and each.__module__.startswith(CORE) and each not in seen:
            yield from _effects(each, seen)


def _named(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """The globals that a function's code names."""
    for code in _codes(inspect.unwrap(function).__code__):
        for name in code.co_names:
            found = function.__globals__.get(name)
            if found is core_effects:
                yield from ((each, vars(found)[each]) for each in code.co_names if each in vars(found))
            elif found is not None:
                yield name, found


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _is_effect(each: object) -> bool:
    return isinstance(each, type) and issubclass(each, Effect | ListAll)
