"""Error responses, in the form of Neon's ``GeneralError``."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.local.protocol import Response


class ApiError(Exception):
    """A rejected request. It is raised before anything is changed."""

    def __init__(self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = headers or {}
        self.message = message
        self.code = code
        super().__init__(f"{status}: {message}")


def to_response(error: ApiError, request_id: str) -> Response:
    """Render an error response. Neon's ``code`` is mostly empty."""
    rendered = general_error(error.status, error.message, request_id, error.code)
    return Response(rendered.status, rendered.body, {**rendered.headers, **error.headers})


def general_error(status: int, message: str, request_id: str, code: str = "") -> Response:
    """Render a ``GeneralError``."""
    body = {"request_id": request_id, "code": code, "message": message}
    return Response(status, body, {"X-Request-ID": request_id})


def unauthorized() -> ApiError:
    """The key is absent or invalid."""
    return ApiError(401, "authentication failed: the supplied API key is not valid")


def not_found(resource: str) -> ApiError:
    """Absent, or not visible to this key: Neon does not distinguish the two."""
    return ApiError(404, f"{resource} not found")


def not_for_organizations() -> ApiError:
    """An organization key was used on a route for personal keys."""
    return ApiError(404, "not allowed for organization API keys")


def outside_of_key(project_id: str) -> ApiError:
    """A project key was used outside its project."""
    message = "not allowed to perform actions outside the project this key is scoped to"
    return ApiError(404, f'{message}; subject_project_id:"{project_id}"')


def organization_required() -> ApiError:
    """A personal key was used without an organization."""
    return bad_request("org_id is required, you can find it on your organization settings page")


def bad_request(message: str) -> ApiError:
    """The request is malformed."""
    return ApiError(400, message)


def unprocessable(message: str, code: str = "") -> ApiError:
    """The request is well-formed, and impossible."""
    return ApiError(422, message, code)


def conflict(message: str) -> ApiError:
    """The name is taken."""
    return ApiError(409, message)


def locked() -> ApiError:
    """Operations of the project are running."""
    return ApiError(423, "project already has running conflicting operations, scheduling of new ones is prohibited")


def passwords_not_stored() -> ApiError:
    """The project was created with ``store_passwords: false``."""
    return ApiError(412, "Storing passwords is disabled")


def too_many_requests(retry_after: int | None = None) -> ApiError:
    """More requests than the account may send."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return ApiError(429, "rate limit exceeded", headers=headers)


def over_limit(message: str, code: str) -> ApiError:
    """A limit is reached; ``code`` is Neon's code for it, where one is known."""
    return ApiError(422, message, code)
