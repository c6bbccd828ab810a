"""What the bytes of a block depend on, besides the tokens and pictures that its key names."""

import hashlib
import json
import os
from typing import TYPE_CHECKING

from vllm.platforms import current_platform

from metacompress_compressor.artifact import load_artifact
from metacompress_server.engine.plugin import COMPRESSOR_KEY
from metacompress_server.kv.model_digest import model_digest
from metacompress_server.launch.checkpoint import local_folder
from metacompress_server.settings import ServerSettings

if TYPE_CHECKING:
    from vllm.config import ModelConfig, VllmConfig


def namespace_fields(vllm_config: "VllmConfig") -> dict[str, str | int]:
    """The fields that name the disk tier's folder.

    Raises:
        ValueError: LoRA adapters, which block keys name but do not identify.
    """
    from vllm import __version__

    if vllm_config.lora_config is not None:
        raise ValueError(
            "the disk tier of sessions does not go with LoRA; set --session-disk-gib 0"
        )
    model, cache, parallel = (
        vllm_config.model_config,
        vllm_config.cache_config,
        vllm_config.parallel_config,
    )
    return {
        "model": model_digest(local_folder(model.model, model.revision)),
        "configuration": _configuration(model),
        "compressor": _compressor(model),
        "dtype": str(model.dtype),
        "quantization": str(model.quantization),
        "cache_dtype": str(cache.cache_dtype),
        "block_size": int(cache.block_size),
        "kv_layout": str(cache.kv_cache_layout),
        "key_hash": f"{cache.prefix_caching_hash_algo}/{os.environ.get('PYTHONHASHSEED', '')}",
        "tensor_parallel": parallel.tensor_parallel_size,
        "pipeline_parallel": parallel.pipeline_parallel_size,
        "data_parallel_rank": parallel.data_parallel_index,
        "attention": str(vllm_config.attention_config.backend),
        "platform": str(current_platform.device_type),
        "vllm": __version__,
    }


def _configuration(model: "ModelConfig") -> str:
    """Overrides of the model's configuration change keys and values as much as weights do."""
    content = model.hf_config.to_dict()
    for name in ("_name_or_path", COMPRESSOR_KEY):
        content.pop(name, None)
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _compressor(model: "ModelConfig") -> str:
    """Digest of the compressor and the server's budget; each picture's m is in its block's key."""
    folder = getattr(model.hf_config, COMPRESSOR_KEY, None)
    if folder is None:
        return "none"
    artifact = load_artifact(folder)
    retention = ServerSettings.current().retention or artifact.config.retention_ratio
    return f"{artifact.digest}/{retention}"
