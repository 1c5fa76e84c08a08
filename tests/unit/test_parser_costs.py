"""What it costs to read input: 16 times as much input costs about 16 times as much, whatever it holds.

A parser whose work grows with the square of its input would cost 256 times as much. Costs are CPU time, since most of
the work is in C, where no line is counted.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.parser import NUMBER, Parser
from tests.unit.parsers import PARSERS

TIMES_LARGER = 16
MOST_TIMES_COSTLIER = 80
CONSTANT_SECONDS = 0.02  # what costs less than this at its largest does not delay anybody, however it grows
SEARCHED_SIZE = 4_096  # at which the square of a length already costs more than anything else
VERIFIED = 3
HAND_FOUND = [
    pytest.param(parser, worst, id=f"{name}-{number}")
    for name, parser in PARSERS.items()
    for number, worst in enumerate(parser.worst)
]


def _grown(prefix: str, unit: str, suffix: str, size: int) -> str:
    """About ``size`` characters: the unit again and again, each with a number of its own where it asks for one."""
    count = max(1, (size - len(prefix) - len(suffix)) // len(unit))
    if NUMBER not in unit:
        return prefix + unit * count + suffix
    return prefix + "".join(unit.replace(NUMBER, format(number, "04x")) for number in range(count)) + suffix


def _seconds(parser: Parser, text: str, runs: int) -> float:
    best = float("inf")
    for _ in range(runs):
        began = time.process_time()
        parser.read(text)
        best = min(best, time.process_time() - began)
    return best


def _times_costlier(parser: Parser, prefix: str, unit: str, suffix: str) -> float:
    large = _seconds(parser, _grown(prefix, unit, suffix, parser.size), 1)
    if large < CONSTANT_SECONDS:
        return 1.0
    # The least of several, since a busy machine adds to a cost and never takes from it.
    small = _seconds(parser, _grown(prefix, unit, suffix, parser.size // TIMES_LARGER), 3)
    return large / max(small, 1e-6)


def _assert_linear(parser: Parser, prefix: str, unit: str, suffix: str) -> None:
    found = [_times_costlier(parser, prefix, unit, suffix)]
    while found[-1] > MOST_TIMES_COSTLIER and len(found) < 3:
        found.append(_times_costlier(parser, prefix, unit, suffix))
    assert min(found) <= MOST_TIMES_COSTLIER, (prefix, unit, suffix)


@pytest.mark.parametrize(("parser", "worst"), HAND_FOUND)
def test_the_worst_known_input_costs_in_proportion_to_its_length(parser: Parser, worst: tuple[str, str, str]) -> None:
    _assert_linear(parser, *worst)


@pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)
def test_the_costliest_repetitive_input_found_costs_in_proportion_to_its_length(parser: Parser) -> None:
    pieces = st.sampled_from(parser.pieces)
    around = st.lists(pieces, max_size=3).map("".join)
    costs: dict[tuple[str, str, str], float] = {}

    @settings(derandomize=True, max_examples=150, deadline=None, database=None, suppress_health_check=[*HealthCheck])
    @given(around, st.lists(pieces, min_size=1, max_size=3).map("".join), around)
    def search(prefix: str, unit: str, suffix: str) -> None:
        size = min(parser.size, SEARCHED_SIZE)
        costs[prefix, unit, suffix] = _seconds(parser, _grown(prefix, unit, suffix, size), 1)

    search()
    for worst in sorted(costs, key=lambda worst: -costs[worst])[:VERIFIED]:
        _assert_linear(parser, *worst)
