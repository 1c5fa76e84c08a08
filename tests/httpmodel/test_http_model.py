"""The API and the reconciler against the model, in as many examples as are asked for.

``MORPHIK_EXAMPLES`` asks for more of them.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.httpmodel.machine import machine_on
from tests.httpmodel.stage import staged
from tests.postgres import TestServer

EXAMPLES = int(os.environ.get("MORPHIK_EXAMPLES", "60"))
STEPS = 40
SETTINGS = settings(
    deadline=None,
    stateful_step_count=STEPS,
    suppress_health_check=[*HealthCheck],
    print_blob=True,
    report_multiple_bugs=False,
)


def test_every_answer_is_one_that_the_model_knows(postgres: TestServer) -> None:
    """Whatever clients, people and faults do, in any order."""
    with staged(postgres) as stage:
        run_state_machine_as_test(machine_on(stage), settings=settings(SETTINGS, max_examples=EXAMPLES))
