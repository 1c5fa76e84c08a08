"""The key and its organization."""

from __future__ import annotations

from reconciler.core.context import ReconcileContext
from reconciler.core.effects import EffectGenerator, VerifyAccess, perform


def verify_access(ctx: ReconcileContext) -> EffectGenerator[None]:
    """Verify the key. Stores ``observed.org_id``."""
    ctx.observed.org_id = yield from perform(VerifyAccess())
