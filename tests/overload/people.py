"""The owners and their apps: those that have been there for long, and what is asked for while we look."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from reconciler.core.conditions import AVAILABLE, UP_TO_DATE
from reconciler.core.context import CreateIntent, Credentials
from reconciler.core.diff import project_to_create
from reconciler.core.host_allow_list import CheckedURI, pooled_uri
from reconciler.local.protocol import Request
from reconciler.neon import codec
from specs.app import DesiredApp
from specs.metadata import AppMetadata
from specs.names import app_id_from_bytes
from specs.neon import CreateProjectResponse
from specs.status import AppStatus, Condition, ConditionType
from tests.overload.fleet import PLANE, Fleet
from tests.overload.neon import ORG_ID

AGE = timedelta(days=30)


class People:
    """All owners.

    Attributes:
        wanted: the status that each app must have in the end.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.wanted: dict[str, AppStatus] = {}

    def ask(self, owner_id: str, name: str = "app") -> str:
        """POST."""
        app_id = app_id_from_bytes(self._fleet.chance.randbytes(15))
        desired = DesiredApp(app_name=f"{name} {len(self.wanted)}", region="aws-us-east-1", pg_version=17)
        self._fleet.catalog.create_app(app_id, owner_id, desired)
        self.wanted[app_id] = AppStatus.READY
        self._fleet.hint()
        return app_id

    def delete(self, app_id: str) -> None:
        """DELETE."""
        self._fleet.catalog.request_delete(app_id)
        self.wanted[app_id] = AppStatus.DELETED
        self._fleet.hint()

    def found(self, number: int, owners: int = 50) -> list[str]:
        """Apps that have been ready for a month."""
        # One after the other, so that Neon is done with each before the next.
        began = self._fleet.clock.date - AGE
        return [self._found(f"owner-{each % owners}", began + timedelta(seconds=each)) for each in range(number)]

    def _found(self, owner_id: str, then: datetime) -> str:
        catalog, neon = self._fleet.catalog, self._fleet.neon
        app_id = self.ask(owner_id)
        app = catalog.rows[app_id]
        catalog.plane.last_create_seq += 1
        nonce = self._fleet.chance.randbytes(16).hex()
        intent = CreateIntent(catalog.plane.last_create_seq, 1, nonce, "recorded", then)
        call = codec.create_project(project_to_create(app, PLANE, intent, ORG_ID))
        body = neon.found(Request("POST", "/projects", {}, call.request.body), then.timestamp())
        created: CreateProjectResponse = codec.decode(call, 201, {}, json.dumps(body).encode())
        conditions = tuple(
            Condition(
                type=kind,
                status="True",
                reason=said.reason,
                message=said.message,
                last_transition_time=then,
                observed_generation=1,
            )
            for kind, said in ((ConditionType.READY, AVAILABLE), (ConditionType.SYNCED, UP_TO_DATE))
        )
        catalog.found(
            app_id,
            intent,
            _credentials(created, app),
            status=AppStatus.READY,
            conditions=conditions,
            observed_generation=1,
            org_id=ORG_ID,
            project_id=created.project.id,
            project_recorded_at=then,
            connected_at=then,
            created_at=then,
            updated_at=then,
            data_key_sealed=b"key",
            data_key_wrapped_by="1",
            data_key_version=1,
        )
        return app_id


def _credentials(created: CreateProjectResponse, app: AppMetadata) -> Credentials:
    [details] = created.connection_uris
    host, rule = details.connection_parameters.pooler_host, PLANE.address_rule(app)
    assert host is not None
    return Credentials(CheckedURI(details.connection_uri, rule), pooled_uri(details.connection_uri, host, rule))
