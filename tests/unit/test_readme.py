"""The README says everything that its readers can meet, and its documents are what the API answers."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from api import problems
from api.metrics import metric_descriptions
from api.resources import ENDPOINTS as OPERATIONS
from specs import settings
from specs.status import AppStatus, Reason
from tests.described import DESCRIBED
from tests.unit.test_shape import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
_JSON = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SCHEMAS = {"app_id": "App", "apps": "AppList", "events": "EventList", "type": "Problem"}


def _settings() -> list[str]:
    groups = [
        group
        for group in vars(settings).values()
        if isinstance(group, type) and issubclass(group, settings.Settings) and group is not settings.Settings
    ]
    return sorted({field.upper() for group in groups for field in group.model_fields})


def _problems() -> list[str]:
    return [kind.type for kind in vars(problems).values() if isinstance(kind, problems.ProblemType)]


@pytest.mark.parametrize("name", [*_settings(), *Reason, *AppStatus, *_problems()])
def test_every_setting_reason_status_and_problem_is_explained(name: str) -> None:
    """What the README does not explain does not exist for its reader."""
    assert f"`{name}`" in TEXT


@pytest.mark.parametrize("name", metric_descriptions())
def test_every_metric_is_explained(name: str) -> None:
    """With its labels or without."""
    assert re.search(rf"`{name}(?:\{{[a-z,]+\}})?`", TEXT)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_call_is_listed(operation: Any) -> None:
    """By method and path."""
    assert f"`{operation.method} {operation.path}`" in TEXT


def test_no_metric_reason_or_problem_is_explained_that_does_not_exist() -> None:
    """What was taken away is not promised any more."""
    assert set(re.findall(r"\bmorphik_apps_[a-z_]+", TEXT)) - {"morphik_apps_api", "morphik_apps_reconciler"} == set(
        metric_descriptions()
    )
    assert set(re.findall(r"`(/problems/[a-z-]+)`", TEXT)) == set(_problems())
    operation = TEXT.split("\n## Operation", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| ((?:`[A-Z]\w+`(?:, )?)+) \|", operation, re.MULTILINE)
    assert {reason for row in rows for reason in re.findall(r"`(\w+)`", row)} == set(Reason)


@pytest.mark.parametrize("text", _JSON.findall(TEXT))
def test_every_document_is_what_the_api_answers(text: str) -> None:
    """Held to the schemas of the API's description."""
    document = json.loads(text)
    schema = {
        "$ref": f"#/components/schemas/{_SCHEMAS[next(iter(document))]}",
        "components": DESCRIBED["components"],
    }
    assert [error.message for error in Draft202012Validator(schema).iter_errors(document)] == []
