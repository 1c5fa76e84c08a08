"""Puts changed code into a loaded module, so that all who imported from it run the change.

Functions and classes stay the objects that they are: they are handed the code of the changed ones.
"""

from __future__ import annotations

import inspect
import sys
from types import FunctionType, ModuleType

from tests.mutation.mutants import Mutant

_UNCHANGED = object()


def graft(mutant: Mutant) -> None:
    """Make this process run the mutant, for good."""
    module = sys.modules[f"reconciler.core.{mutant.module}"]
    changed = ModuleType(module.__name__)
    changed.__file__ = module.__file__
    exec(mutant.compiled(), changed.__dict__)  # noqa: S102 - the product's own text with one change
    for name, new in vars(changed).items():
        old = vars(module).get(name, _UNCHANGED)
        if getattr(new, "__module__", None) == module.__name__ and isinstance(new, FunctionType | type):
            _replant(old, new)
        elif not mutant.function and not name.startswith("__") and new is not old:
            _rebind(name, old, new)


def _replant(old: object, new: object) -> None:
    if isinstance(old, type) and isinstance(new, type):
        for name, value in vars(new).items():
            if type(value) in {bool, int, float, str} and not name.startswith("__"):
                setattr(old, name, value)
            _replant(_function(vars(old).get(name)), _function(value))
        return
    if not (isinstance(old, FunctionType) and isinstance(new, FunctionType)):
        return
    old, new = inspect.unwrap(old), inspect.unwrap(new)
    assert isinstance(old, FunctionType)
    assert isinstance(new, FunctionType)
    if len(old.__code__.co_freevars) == len(new.__code__.co_freevars):
        old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__


def _function(value: object) -> object:
    if isinstance(value, property):
        return value.fget
    return getattr(value, "__func__", value)


def _rebind(name: str, old: object, new: object) -> None:
    """Give a constant its new value wherever it was imported."""
    for module in list(sys.modules.values()):
        held = getattr(module, "__dict__", {})
        if held.get(name, _UNCHANGED) is old:
            held[name] = new
