"""Structured logs: one JSON object per line, of this server, of vLLM and of uvicorn alike."""

import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .request_context import current_request

LOGGER = "metacompress"
"""What the server says of itself; below it `.access`."""

_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_BEARER = re.compile(r"(?i)(bearer\s+)\S+")
_HIDDEN = "***"


class JsonLines(logging.Formatter):
    """Named fields and nothing else: what a library hangs on its records stays out.

    `time` (UTC), `level`, `logger`, `process`, `message`; of the running request `request_id`,
    `session` and `tenant`; `exception` with its traceback; what is logged with `extra={"fields":
    {...}}`. Credentials in URLs and bearer tokens are blotted out, whoever wrote them.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        request = current_request()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": getattr(record, "vllm_process_name", record.processName),
            "message": _blotted(record.getMessage()),
            **(request.fields if request is not None else {}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = _blotted(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


def _blotted(text: str) -> str:
    return _BEARER.sub(rf"\g<1>{_HIDDEN}", _CREDENTIALS.sub(f"{_HIDDEN}@", text))


def json_config(level: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`: every logger's lines as JSON on standard output.

    Args:
        level: of vLLM's own loggers.
    """
    handlers = ["json"]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": f"{__name__}.{JsonLines.__name__}"}},
        "handlers": {
            "json": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "stream": "ext://sys.stdout",
            }
        },
        "root": {"level": "WARNING", "handlers": handlers},
        "loggers": {
            LOGGER: {"level": "INFO", "handlers": handlers, "propagate": False},
            "vllm": {"level": level, "handlers": handlers, "propagate": False},
            "uvicorn": {"level": "INFO", "handlers": handlers, "propagate": False},
        },
    }


def write_json_config(folder: Path, level: str) -> Path:
    """The same as a file, which vLLM reads in each of its processes. Returns its path."""
    path = folder / "logging.json"
    path.write_text(json.dumps(json_config(level)), encoding="utf-8")
    return path
