"""OpenAI's error envelope, and the refusals that this server writes itself.

RequestError            refused by us: status, message, param and code as given
"""

from typing import Any


class RequestError(Exception):
    """A request that the server refuses, in words for its author."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status

    def envelope(self) -> dict[str, Any]:
        """The body of the answer."""
        return envelope(self.status, self.message, self.param, self.code)


def envelope(
    status: int, message: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """OpenAI's error object."""
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
