"""Check of the issuer's keys: the document is fetched once, as ``serve`` fetches it."""

from __future__ import annotations

from api.auth.jwks import jwks_source
from api.auth.keyset import MalformedKeySet, parse_key_set
from api.commands.doctor.line import Line, failed, ok, skipped, warning
from reconciler.egress import FetchFailed
from reconciler.egress_proxy import egress_proxy
from specs.settings import SettingsError, TokenSettings

_CHECK = "JWKS"
_NAMED = 5


async def jwks(tokens: TokenSettings | None) -> list[Line]:
    """Can tokens be checked with what ``JWT_JWKS_URL`` serves? No line without that setting."""
    if tokens is None or tokens.jwt_jwks_url is None:
        return []
    try:
        proxy = egress_proxy(tokens.jwt_jwks_url, tokens)
    except SettingsError:
        return [skipped(_CHECK, "the proxy on the way to JWT_JWKS_URL cannot be used")]
    return [await _fetched(tokens.jwt_jwks_url, proxy)]


async def _fetched(url: str, proxy: str | None) -> Line:
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
    says = f"{len(keys.keys)} usable keys{' for ' if algorithms else ''}{', '.join(algorithms)}"
    if keys.skipped:
        more = f" and {len(keys.skipped) - _NAMED} more" if len(keys.skipped) > _NAMED else ""
        says = f"{says}; not used: {', '.join(keys.skipped[:_NAMED])}{more}"
    if not keys.keys:
        return failed(_CHECK, says, "no token is accepted until the issuer publishes a usable key")
    if keys.skipped:
        return warning(_CHECK, says, "the issuer should publish usable signing keys only")
    return ok(_CHECK, says)
