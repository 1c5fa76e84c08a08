"""Check of the issuer's keys: it reads the key set once, as ``serve`` does."""

from __future__ import annotations

from api.auth.jwks import jwks_source
from api.auth.keyset import MalformedKeySet, parse_key_set
from api.cli.doctor.result import CheckResult, failed, ok, skipped, warning
from reconciler.egress import FetchFailed
from reconciler.egress_proxy import egress_proxy
from specs.settings import SettingsError, TokenSettings

_CHECK = "JWKS"
_MAX_LISTED = 5


async def check_jwks(tokens: TokenSettings | None) -> list[CheckResult]:
    """Check that ``JWT_JWKS_URL`` serves usable keys; no result without that setting."""
    if tokens is None or tokens.jwt_jwks_url is None:
        return []
    try:
        proxy = egress_proxy(tokens.jwt_jwks_url, tokens)
    except SettingsError:
        return [skipped(_CHECK, "the egress proxy for JWT_JWKS_URL is not valid")]
    return [await _check_key_set(tokens.jwt_jwks_url, proxy)]


async def _check_key_set(url: str, proxy: str | None) -> CheckResult:
    source = jwks_source(url, proxy)
    try:
        keys = parse_key_set(await source.read())
    except FetchFailed as error:
        return failed(_CHECK, f"JWT_JWKS_URL cannot be fetched: {error}", "check the address from this machine")
    except MalformedKeySet as error:
        return failed(_CHECK, f"JWT_JWKS_URL serves no key set: {error}", "set the address of a JSON Web Key Set")
    finally:
        await source.aclose()
    algorithms = sorted(frozenset[str]().union(*(key.algorithms for key in keys.keys)))
    message = f"{len(keys.keys)} usable keys{' for ' if algorithms else ''}{', '.join(algorithms)}"
    if keys.skipped:
        more = f" and {len(keys.skipped) - _MAX_LISTED} more" if len(keys.skipped) > _MAX_LISTED else ""
        message = f"{message}; not used: {', '.join(keys.skipped[:_MAX_LISTED])}{more}"
    if not keys.keys:
        return failed(_CHECK, message, "no token is accepted until the issuer publishes a usable key")
    if keys.skipped:
        return warning(_CHECK, message, "the issuer should publish usable signing keys only")
    return ok(_CHECK, message)
