import contextvars
import io
import json
import logging
import logging.config
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metacompress_server.logs import JsonLines, json_config, write_json_config
from metacompress_server.request_context import begin_request, current_request


@pytest.fixture
def written() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger, and where its lines go."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("metacompress.test")
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, stream
    logger.removeHandler(handler)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_time_level_logger_and_message(
    written: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, stream = written
    # In a context of its own: outside of every request, whatever was tested before.
    contextvars.Context().run(logger.warning, "%d pictures\nand a second line", 3)
    (line,) = lines(stream)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "WARNING",
        "logger": "metacompress.test",
        "process": "MainProcess",
        "message": "3 pictures\nand a second line",
    }


def test_a_line_names_the_request_and_its_fields(
    written: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, stream = written
    begin_request("abc")
    request = current_request()
    assert request is not None
    logger.warning("before")
    request.tenant = "acme"
    request.in_session("0123456789abcdef0123")
    logger.warning("after", extra={"fields": {"status": 200}, "secret": "not shown"})
    before, after = lines(stream)
    assert "session" not in before
    assert before["request_id"] == "abc"
    assert (after["session"], after["tenant"]) == ("0123456789abcdef", "acme")
    assert after["status"] == 200
    assert "not shown" not in stream.getvalue()


def test_an_exception_stays_on_its_line(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = written
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("failed")
    (line,) = lines(stream)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: broken")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("GET https://user:pass-word@host/x", "GET https://***@host/x"),
        ("Authorization: Bearer sk-secret-1", "Authorization: Bearer ***"),
        ("https://host/x is fine, a@b too", "https://host/x is fine, a@b too"),
    ],
)
def test_credentials_are_blotted_out(
    written: tuple[logging.Logger, io.StringIO], said: str, shown: str
) -> None:
    logger, stream = written
    logger.warning("%s", said)
    assert lines(stream)[0]["message"] == shown


def test_the_configuration_takes_in_vllm_and_uvicorn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_json_config(tmp_path, "WARNING")
    config = json.loads(path.read_text())
    assert config == json_config("WARNING")
    del config["root"]
    names = ["vllm.engine", "uvicorn.error", "metacompress"]
    try:
        logging.config.dictConfig(config)
        for name in names:
            logging.getLogger(name).warning("from %s", name)
    finally:
        for name in config["loggers"]:
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).propagate = True
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["logger"] for line in told] == names
