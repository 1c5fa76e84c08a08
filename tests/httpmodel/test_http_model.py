"""The API and the reconciler against the model: a fixed block, or as many examples as ``MORPHIK_EXAMPLES`` asks for."""

from __future__ import annotations

from tests.httpmodel.running import asked_for, explore
from tests.httpmodel.stage import staged
from tests.postgres import TestServer

FEW = 25


def test_every_answer_is_one_that_the_model_knows(postgres: TestServer) -> None:
    """Whatever clients, people and faults do, in any order."""
    with staged(postgres) as stage:
        explore(stage, asked_for(FEW), always_the_same=asked_for(0) == 0)
