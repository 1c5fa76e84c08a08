"""The parameters that a call takes in its query, read strictly: each known, given once, and of its form."""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.datastructures import QueryParams

from api.bodies import LONGEST_NAME, field_problem
from api.problems import FieldError, invalid_fields
from reconciler.catalog.cursors import APPS_CURSOR, EVENTS_CURSOR
from specs.app import AppName
from specs.status import AppStatus

_DIGITS = re.compile(r"[0-9]{1,3}")
_MOST_ERRORS = 20


def _digits(value: object) -> object:
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("must be a number from 1 to 200")
    return value


Limit = Annotated[int, Field(ge=1, le=200, description="The maximum number of items."), BeforeValidator(_digits)]


class EmptyQuery(BaseModel):
    """No parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AppsQuery(EmptyQuery):
    """Which of the caller's apps."""

    status: AppStatus | None = Field(
        None, description="Only apps of this status. Deleted apps are listed only with `deleted`."
    )
    name: AppName | None = Field(None, description="Only the apps of this name.")
    limit: Limit = 50
    cursor: str | None = Field(None, pattern=APPS_CURSOR, description="`next_cursor` of the previous page.")


class EventsQuery(EmptyQuery):
    """Which part of an app's history."""

    limit: Limit = 50
    cursor: str | None = Field(None, pattern=EVENTS_CURSOR, description="`next_cursor` of the previous page.")


Query = TypeVar("Query", bound=EmptyQuery)


def read_query(query: QueryParams, model: type[Query]) -> Query:
    """The parameters of a call; raises a 422 that names what is wrong."""
    if not query:
        return model()
    twice = [name for name, times in Counter(name for name, _ in query.multi_items()).items() if times > 1]
    if twice:
        found = (FieldError(name[:LONGEST_NAME], "is given twice") for name in twice[:_MOST_ERRORS])
        raise invalid_fields(*found)
    try:
        return model.model_validate(dict(query))
    except ValidationError as error:
        raise field_problem(error, unknown="is not a parameter of this call") from None
