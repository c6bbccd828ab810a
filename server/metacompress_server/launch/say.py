"""What the server tells the person who started it, as text or as a log line."""

import logging

from metacompress_server.logs import LOGGER
from metacompress_server.settings import ServerSettings

_logger = logging.getLogger(LOGGER)


def say(text: str) -> None:
    """One thing worth knowing. With `--log-format json` it is a log line like any other."""
    if ServerSettings.current().log_format == "json":
        _logger.info(text)
    else:
        print(f"{LOGGER}: {text}", flush=True)
