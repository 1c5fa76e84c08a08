"""Strict query parameters: each is known, occurs once, and is valid."""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.datastructures import QueryParams

from api.http.request_body import MAX_ERRORS, MAX_FIELD_NAME, field_problem
from api.problems import FieldError, invalid_fields

_DIGITS = re.compile(r"[0-9]{1,3}")


def _digits(value: object) -> object:
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("must be a number from 1 to 200")
    return value


Limit = Annotated[int, Field(ge=1, le=200, description="The maximum number of items."), BeforeValidator(_digits)]


class EmptyQuery(BaseModel):
    """No parameters. The base of every query model."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Query = TypeVar("Query", bound=EmptyQuery)


def read_query(query: QueryParams, model: type[Query]) -> Query:
    """Return the query parameters; raises a 422 that names the invalid ones."""
    if not query:
        return model()
    counts = Counter(name for name, _ in query.multi_items())
    repeated = [name[:MAX_FIELD_NAME] for name, count in counts.items() if count > 1]
    if repeated:
        raise invalid_fields(*(FieldError(name, "occurs more than once") for name in repeated[:MAX_ERRORS]))
    try:
        return model.model_validate(dict(query))
    except ValidationError as error:
        raise field_problem(error, unknown="is not a parameter of this endpoint") from None
