"""Authorizes every request under ``/ee``: the token, its permissions, and the rate of its owner."""

from __future__ import annotations

from starlette.requests import Request

from api.auth.rate_limit import ClientAddress, RateLimit
from api.auth.revocations import TokenRevocations
from api.auth.tokens import InvalidToken, KeysUnavailable, Principal, TokenVerifier
from api.problems import (
    ProblemError,
    forbidden,
    owner_token_required,
    token_required,
    too_many,
    too_many_requests,
    unauthorized,
    unavailable,
)
from specs.settings import ApiSettings


class Authorizer:
    """Checks the token, its revocation, the owner's rate limit, and then the permissions.

    Invalid tokens from an address never affect a valid one: clients behind one proxy share an address.

    Raises:
        SettingsError: ``TRUSTED_PROXIES`` is not valid.
    """

    def __init__(self, tokens: TokenVerifier, revocations: TokenRevocations, http: ApiSettings) -> None:
        self._tokens = tokens
        self._revocations = revocations
        self._requests = RateLimit(http.requests_per_minute)
        self._failed = RateLimit(http.failed_tokens_per_minute)
        self._address = ClientAddress(http.trusted_proxies or ())
        self._address_header = http.client_address_header

    async def authorize(self, request: Request, *permissions: str, app_token: bool = False) -> Principal:
        """Return the caller; raises 401, 403, 429 or 503 as a problem.

        Args:
            request: the request.
            permissions: the token needs one of them; the least comes first.
            app_token: whether a token for one app is allowed.
        """
        token = _bearer(request)
        try:
            principal = self._tokens.verify(token)
            await self._revocations.check(principal)
        except InvalidToken as error:
            peer = request.client.host if request.client else "unknown"
            seconds = self._failed.take(self._address.of(peer, request.headers.getlist(self._address_header)))
            if seconds:
                raise too_many("Too many invalid tokens came from this address.", seconds) from None
            raise _invalid(error) from None
        except KeysUnavailable as error:
            detail = "The token cannot be verified now; send the same request again."
            raise unavailable(detail, error.retry_after) from None
        seconds = self._requests.take(principal.owner_id)
        if seconds:
            raise too_many_requests(seconds)
        if not principal.permissions.intersection(permissions):
            raise forbidden(permissions[0])
        if principal.app_id is not None and not app_token:
            raise owner_token_required()
        return principal

    async def require_not_revoked(self, principal: Principal) -> None:
        """Reject a caller whose token was revoked during the request; raises 401 as a problem.

        Raises:
            CatalogUnavailable: the revocations cannot be read.
        """
        try:
            await self._revocations.check(principal)
        except InvalidToken as error:
            raise _invalid(error) from None


def _bearer(request: Request) -> str:
    values = request.headers.getlist("authorization")
    if not values:
        raise token_required()
    scheme, _, token = values[0].partition(" ")
    token = token.strip()
    if len(values) > 1 or scheme.lower() != "bearer" or not token or " " in token:
        raise unauthorized("Send one token: Authorization: Bearer <token>.", error="invalid_token")
    return token


def _invalid(error: InvalidToken) -> ProblemError:
    return unauthorized(f"Send a valid token: {error}.", error="invalid_token")
