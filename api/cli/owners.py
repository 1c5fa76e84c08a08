"""``owners``: an operator's commands about one owner."""

from __future__ import annotations

import getpass
import logging

from reconciler.catalog.address import load_catalog_settings
from reconciler.catalog.database import Database
from reconciler.catalog.revocations import MAX_VERSION, RevocationStore
from reconciler.logging import log_extra
from specs.names import OWNER_LENGTH, is_owner_id

log = logging.getLogger(__name__)


async def revoke_tokens(owner_id: str, below: int, *, allow_lower: bool) -> str:
    """Reject an owner's tokens below a version. Return the text to print.

    Raises:
        ValueError: the owner or the version is not valid.
        SettingsError, CatalogUnavailable, MinimumWouldFall: nothing was changed.
    """
    if not is_owner_id(owner_id):
        raise ValueError(f"OWNER must be 1 to {OWNER_LENGTH} printable characters")
    if not 0 <= below <= MAX_VERSION:
        raise ValueError(f"--below must be a number from 0 to {MAX_VERSION}")
    operator = _operator()
    database = Database(load_catalog_settings().database_url.get_secret_value(), max_size=1)
    await database.open()
    try:
        changed = await RevocationStore(database).revoke_below(
            owner_id, below, operator=operator, allow_lower=allow_lower
        )
    finally:
        await database.close()
    if changed.previous == changed.minimum:
        return f"nothing to change: the minimum of {owner_id!r} is {changed.minimum}\n"
    log.info(
        "Token minimum changed.",
        extra=log_extra(
            "tokens.minimum_changed",
            owner_id=owner_id,
            previous=changed.previous,
            minimum=changed.minimum,
            operator=operator,
        ),
    )
    if changed.minimum == 0:
        return f"every API process accepts all tokens of {owner_id!r} again within a minute\n"
    return (
        f"every API process rejects tokens of {owner_id!r} with a token_version below {changed.minimum}, or without "
        "one, within a minute\n"
    )


def _operator() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container may run under a user id without a name.
        return "unknown"
