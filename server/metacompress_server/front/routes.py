"""Which routes are open. vLLM has many more; those that no check of ours covers stay closed."""

import re
from enum import Enum


class Kind(Enum):
    """What the front door does with a route."""

    PROBE = "answered without a key"
    PAGE = "answered without a key: files that are the same for everybody"
    METRICS = "answered without a key, or with one if the operator says so"
    PLAIN = "needs a key; costs nothing"
    UPLOAD = "needs a key and room; its body is a file"
    GENERATE = "needs a key and room; its JSON is checked and given the tenant's cache salt"


_OPEN = {
    "/health": Kind.PROBE,
    "/ready": Kind.PROBE,
    "/metrics/?": Kind.METRICS,
    "/version": Kind.PLAIN,
    "/v1/models(/.+)?": Kind.PLAIN,
    "/openapi.json": Kind.PLAIN,
    "/docs": Kind.PLAIN,
    "/v1/sessions(/.+)?": Kind.PLAIN,
    "/v1/files": Kind.UPLOAD,
    "/v1/files/[^/]+(/content)?": Kind.PLAIN,
    "/v1/compressor(/reload)?": Kind.PLAIN,
    "/playground/look": Kind.GENERATE,
    r"/playground(/[\w-]+\.(css|js|json|png))?": Kind.PAGE,
    "/v1/chat/completions": Kind.GENERATE,
    "/v1/completions": Kind.GENERATE,
    "/v1/responses": Kind.GENERATE,
}
_PATTERNS = [(re.compile(path), kind) for path, kind in _OPEN.items()]


def kind_of(path: str) -> Kind | None:
    """What to do with a path; None for a closed or unknown one."""
    for pattern, kind in _PATTERNS:
        if pattern.fullmatch(path):
            return kind
    return None
