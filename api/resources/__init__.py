"""One folder per resource: its endpoints, queries and documents. All endpoints, in the order of the reference."""

from __future__ import annotations

from typing import Final

from api.endpoint import AnyEndpoint
from api.resources.apps.endpoints import ENDPOINTS as APPS
from api.resources.process.endpoints import ENDPOINTS as PROCESS

ENDPOINTS: Final[tuple[AnyEndpoint, ...]] = (*APPS, *PROCESS)
