"""Replaces the compressor of a running server: checked here, loaded by all workers, then used."""

import asyncio
from pathlib import Path
from typing import Any

from vllm.config import VllmConfig

from metacompress_compressor.artifact import ArtifactError, load_artifact, verify_against_model
from metacompress_server.engine_calls import EngineCalls
from metacompress_server.errors import RequestError
from metacompress_server.launch.checkpoint import local_folder
from metacompress_server.plan import CompressionPlan
from metacompress_server.settings import ServerSettings

from .configuration import compressor_folder
from .current import current_plan, replace_plan
from .plugin import COMPRESSOR_KEY
from .reload import COMPRESSORS, RELOAD


class ReloadingDesk:
    """The compressor of one server, seen by its only HTTP process.

    A request takes the plan once, when its pictures are hashed and laid out, and carries the
    digest to the workers; they hold the mappings of both. So the order is: all workers load, then
    this process lays pictures out by the new plan.
    """

    def __init__(self, vllm_config: VllmConfig, engine: EngineCalls) -> None:
        self._model_config = vllm_config.model_config
        self._num_http_processes = vllm_config.parallel_config._api_process_count
        self._engine = engine
        self._turn = asyncio.Lock()

    async def verify(self) -> None:
        """This process and the engine's workers read the same artifact at their start.

        Raises:
            RuntimeError: they did not; somebody wrote to the folder meanwhile.
        """
        if not self._compresses:
            return
        digest = current_plan(self._model_config).identity
        for held in await self._engine.ask(COMPRESSORS):
            if digest not in held:
                raise RuntimeError(
                    f"{compressor_folder(self._model_config)} changed while the server started"
                )

    async def describe(self) -> dict[str, Any]:
        """The compressor in use, as JSON."""
        if not self._compresses:
            raise RequestError("this server runs without a compressor", status=404)
        plan = current_plan(self._model_config)
        return {
            "object": "compressor",
            "digest": plan.identity,
            "image_tokens_original": plan.num_visual_tokens,
            "image_tokens": {
                detail: plan.budget(detail).num_tokens for detail in ("low", "auto", "high")
            },
        }

    async def reload(self, name: str) -> dict[str, Any]:
        """Put the artifact `name` in the place of the one in use.

        Raises:
            RequestError: 400 for an artifact that is missing, broken, for another model, or with
                another form of positions; 409 where this process is not the only one.
        """
        if not self._compresses:
            raise RequestError("this server runs without a compressor", status=409)
        if self._num_http_processes > 1:
            raise RequestError(
                "with --api-server-count above 1 the compressor cannot be replaced: restart",
                status=409,
            )
        root = ServerSettings.current().compressor_dir
        assert root is not None
        async with self._turn:
            try:
                await self._replace(root / name)
            except ArtifactError as error:
                message = str(error).replace(f"{root}/", "")
                raise RequestError(message, param="compressor", code="invalid_value") from error
        return await self.describe()

    @property
    def _compresses(self) -> bool:
        return getattr(self._model_config.hf_config, COMPRESSOR_KEY, None) is not None

    async def _replace(self, folder: Path) -> None:
        plan = await asyncio.to_thread(self._check, folder)
        for complaint in await self._engine.ask(RELOAD, str(folder), plan.identity):
            if complaint:
                raise ArtifactError(complaint)
        replace_plan(self._model_config, plan)

    def _check(self, folder: Path) -> CompressionPlan:
        """The artifact's plan. Raises ArtifactError where it does not fit."""
        artifact = load_artifact(folder)
        model = self._model_config
        verify_against_model(artifact.config, local_folder(model.model, model.revision))
        plan = CompressionPlan.of(artifact, ServerSettings.current().retention)
        if plan.keeps_positions != current_plan(model).keeps_positions:
            raise ArtifactError(
                f"positions {artifact.config.positions!r}: the model was started with the other "
                "form of positions, which only a restart changes"
            )
        return plan
