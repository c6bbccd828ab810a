"""Fits vLLM's configuration to the compressor, however vLLM was started.

The artifact's folder travels in the Hugging Face configuration, under `metacompress_compressor`, by
`--hf-overrides`; so it reaches every worker with the model's own settings.
"""

from typing import TYPE_CHECKING

from vllm.logger import init_logger
from vllm.model_executor.models.config import VerifyAndUpdateConfig

from metacompress_compressor.artifact import load_config, verify_against_model
from metacompress_server.checkpoint import local_folder
from metacompress_server.rope import mrope_section

from .plugin import COMPRESSOR_KEY

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
        """Choose the executor that keeps count of pictures, where vLLM would take its own."""
        from .executor import counting_executor

        parallel_config = vllm_config.parallel_config
        backend = counting_executor(parallel_config.distributed_executor_backend)
        if backend is None:
            logger.warning(
                "executor %s keeps no count of pictures: usage comes without images_reused",
                parallel_config.distributed_executor_backend,
            )
        else:
            parallel_config.distributed_executor_backend = backend


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
