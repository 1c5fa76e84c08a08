"""Refusals, in the shape of Neon's ``GeneralError``."""

from __future__ import annotations

from reconciler.local.neon.messages import Response


class Problem(Exception):
    """A request that is refused. Nothing has been changed when it is raised."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        self.status = status
        self.message = message
        self.code = code
        super().__init__(f"{status}: {message}")


def answer(problem: Problem, request_id: str) -> Response:
    """Render a refusal. Neon's ``code`` is mostly empty."""
    return general_error(problem.status, problem.message, request_id, problem.code)


def general_error(status: int, message: str, request_id: str, code: str = "") -> Response:
    """Render a ``GeneralError``."""
    body = {"request_id": request_id, "code": code, "message": message}
    return Response(status, body, {"X-Request-ID": request_id})


def unauthorized() -> Problem:
    """The key is missing or not the right one."""
    return Problem(401, "authentication failed: the supplied API key is not valid")


def not_found(what: str) -> Problem:
    """Absent, or not visible to this key: Neon does not say which."""
    return Problem(404, f"{what} not found")


def bad_request(message: str) -> Problem:
    """The request is not well formed."""
    return Problem(400, message)


def unprocessable(message: str, code: str = "") -> Problem:
    """The request is well formed, and is not possible."""
    return Problem(422, message, code)


def conflict(message: str) -> Problem:
    """Something of that name is there already."""
    return Problem(409, message)


def locked() -> Problem:
    """Operations of the project are running."""
    return Problem(423, "project already has running conflicting operations, scheduling of new ones is prohibited")


def passwords_not_stored() -> Problem:
    """The project was made with ``store_passwords: false``."""
    return Problem(412, "Storing passwords is disabled")


def too_many_requests() -> Problem:
    """More requests than the account may send."""
    return Problem(429, "rate limit exceeded")


def over_limit(message: str, code: str) -> Problem:
    """There are as many as there may be; ``code`` is Neon's own word for it, where one is known."""
    return Problem(422, message, code)
