"""How many bytes one token's keys and values take in all layers and on all devices."""

from typing import TYPE_CHECKING

import torch
from vllm.utils.torch_utils import STR_DTYPE_TO_TORCH_DTYPE

from metacompress_server.capacity.memory import kv_bytes

if TYPE_CHECKING:
    from vllm.config import VllmConfig


def kv_bytes_per_token(config: "VllmConfig") -> int:
    """Of a model whose layers all attend, as LLaVA's language models do."""
    model, parallel = config.model_config, config.parallel_config
    name = config.cache_config.cache_dtype
    dtype = model.dtype if name == "auto" else STR_DTYPE_TO_TORCH_DTYPE[name]
    heads = model.get_num_kv_heads(parallel) * parallel.tensor_parallel_size
    layers = model.hf_text_config.num_hidden_layers
    return kv_bytes(layers, heads, model.get_head_size(), torch.empty(0, dtype=dtype).itemsize)
