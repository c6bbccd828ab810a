"""Entry point of vLLM's general plugins: makes our parts known in every process."""

ARCHITECTURE = "MetaCompressLlavaForConditionalGeneration"
COMPRESSOR_KEY = "metacompress_compressor"
"""Entry of `--hf-overrides` that names the artifact's folder."""

WORKER_EXTENSION = "metacompress_server.engine.worker.CompressorWorker"

_MODEL = "metacompress_server.engine.llava:MetaCompressLlavaForConditionalGeneration"


def register() -> None:
    """Register model, configuration hook and media connector. Cheap, and safe to call again."""
    from vllm import ModelRegistry
    from vllm.model_executor.models.config import MODELS_CONFIG_MAP

    from metacompress_server.launch.cpu_tiles import ask_for_tiles

    from .configuration import MetaCompressConfig
    from .media import register_media_connector

    ask_for_tiles()
    if ARCHITECTURE not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(ARCHITECTURE, _MODEL)
    MODELS_CONFIG_MAP[ARCHITECTURE] = MetaCompressConfig
    register_media_connector()
