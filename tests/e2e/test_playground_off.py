"""The playground's flag: its routes are there by default, and not there without it."""

import pytest
from fastapi import FastAPI
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

from metacompress_server.engine.endpoints import MetaCompressEndpoints
from metacompress_server.settings import EXPORTED, ServerSettings


@pytest.mark.parametrize("wanted", [True, False])
def test_the_routes_are_there_as_the_setting_says(
    monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    settings = ServerSettings() if wanted else ServerSettings.read({"playground": False})
    monkeypatch.setenv(EXPORTED, settings.model_dump_json())
    monkeypatch.setenv("VLLM_MEDIA_CONNECTOR", "metacompress")
    app = FastAPI()
    app.state.args = make_arg_parser(FlexibleArgumentParser()).parse_args([])
    MetaCompressEndpoints().attach_router(app)
    ours = {route.path for route in app.routes if route.path.startswith("/playground")}
    assert ours == ({"/playground", "/playground/look", "/playground/{name}"} if wanted else set())
