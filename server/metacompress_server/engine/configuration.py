"""Fits vLLM's configuration to the compressor, however vLLM was started.

The artifact's folder travels in the Hugging Face configuration, under `metacompress_compressor`, by
`--hf-overrides`; so it reaches every worker with the model's own settings.
"""

from typing import TYPE_CHECKING

from vllm.logger import init_logger
from vllm.model_executor.models.config import VerifyAndUpdateConfig

from metacompress_compressor.artifact import load_config, verify_against_model
from metacompress_server.launch.checkpoint import local_folder
from metacompress_server.rope import mrope_section
from metacompress_server.run_dir import share_run_dir
from metacompress_server.settings import ServerSettings

from .plugin import COMPRESSOR_KEY, WORKER_EXTENSION

if TYPE_CHECKING:
    from vllm.config import ModelConfig, VllmConfig

logger = init_logger("vllm.metacompress")


class MetaCompressConfig(VerifyAndUpdateConfig):
    """vLLM calls this once for every model of our architecture."""

    @staticmethod
    def verify_and_update_model_config(model_config: "ModelConfig") -> None:
        """Verify the artifact and ask for positions of our choosing where it keeps them.

        Raises:
            ArtifactError, RopeError: as one line.
        """
        config = load_config(compressor_folder(model_config))
        verify_against_model(config, local_folder(model_config.model, model_config.revision))
        if config.positions == "kept":
            text_config = model_config.hf_text_config
            section = mrope_section(text_config.to_dict())
            text_config.rope_parameters = {
                **(text_config.rope_parameters or {}),
                "mrope_section": section,
            }

    @staticmethod
    def verify_and_update_config(vllm_config: "VllmConfig") -> None:
        """Choose our executor where vLLM would take its own, and what it asks of the workers.

        Raises:
            ArtifactError: the compressor was not trained for the server's budget.
            ValueError: a worker extension of the user's, which would take the place of ours.
        """
        from .current import current_plan
        from .executor import compressing_executor

        current_plan(vllm_config.model_config)
        parallel_config = vllm_config.parallel_config
        if parallel_config._api_process_count > 1:
            share_run_dir()
        backend = compressing_executor(parallel_config.distributed_executor_backend)
        if backend is None:
            logger.warning(
                "executor %s keeps no count of pictures: usage comes without images_reused",
                parallel_config.distributed_executor_backend,
            )
        else:
            parallel_config.distributed_executor_backend = backend
        if parallel_config.worker_extension_cls not in ("", WORKER_EXTENSION):
            raise ValueError(
                f"--worker-extension-cls {parallel_config.worker_extension_cls}: "
                "this place is taken by metacompress"
            )
        parallel_config.worker_extension_cls = WORKER_EXTENSION
        _keep_encoder_outputs(vllm_config)


def _keep_encoder_outputs(vllm_config: "VllmConfig") -> None:
    """Switch the encoder-output tier on, where the settings give it memory.

    Raises:
        ValueError: the user chose another connector for encoder outputs as well.
    """
    settings = ServerSettings.current()
    if not settings.encoder_cache_gib:
        return
    if vllm_config.ec_transfer_config is not None:
        raise ValueError("--ec-transfer-config and --encoder-cache-gib exclude each other")
    from vllm.config import ECTransferConfig

    parallel_config = vllm_config.parallel_config
    workers = parallel_config.tensor_parallel_size * parallel_config.data_parallel_size_local
    vllm_config.ec_transfer_config = ECTransferConfig(
        ec_connector="MetaCompressEncoderCache",
        ec_connector_module_path="metacompress_server.engine.encoder_cache",
        ec_role="ec_both",
        ec_connector_extra_config={
            "budget_bytes": int(settings.encoder_cache_gib * 2**30) // max(1, workers)
        },
    )


def compressor_folder(model_config: "ModelConfig") -> str:
    """The artifact's folder.

    Raises:
        ValueError: the model's configuration names none.
    """
    folder = getattr(model_config.hf_config, COMPRESSOR_KEY, None)
    if not isinstance(folder, str):
        raise ValueError(
            f'no compressor named: add "{COMPRESSOR_KEY}": "<artifact folder>" to --hf-overrides'
        )
    return folder
