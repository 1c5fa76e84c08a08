"""One parser of input, as the tests of costs drive it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

NUMBER = "№"
"""Stands for a number that differs in every repetition."""
LARGEST_REQUEST = 65_536

Worst = tuple[str, str, str]


@dataclass(frozen=True)
class Parser:
    """One parser.

    Attributes:
        parse: reads a text; whatever it raises beyond ``refusals`` is a defect.
        pieces: what Hypothesis builds inputs of.
        worst: prefix, repeated unit and suffix of inputs that were found by hand.
        refusals: the errors that bad input may get.
        size: of the largest input, in characters.
    """

    parse: Callable[[str], object]
    pieces: tuple[str, ...]
    worst: tuple[Worst, ...] = ()
    refusals: tuple[type[Exception], ...] = ()
    size: int = LARGEST_REQUEST

    def read(self, text: str) -> None:
        """Parse a text, or see it refused."""
        with contextlib.suppress(*self.refusals):
            self.parse(text)
