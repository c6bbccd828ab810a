"""Published shapes of vision-language models, as their config.json on the hub has them.

Only models named here as served run on `metacompress serve`; the others are what compression would
be worth there. A test holds each shape against the model's published number of parameters.
"""

from metacompress_compressor.language_model_shape import LanguageModelShape

from .models import ModelShape
from .pictures import NativeSize, OneGrid, PictureRule, Tiles
from .vision import VisionShape

_PINPOINTS = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))

_VICUNA_7B = LanguageModelShape(4096, 32, 32, 32, 128, 11008, 32064)
_VICUNA_13B = LanguageModelShape(5120, 40, 40, 40, 128, 13824, 32064)
_MISTRAL_7B = LanguageModelShape(4096, 32, 32, 8, 128, 14336, 32064)
_YI_34B = LanguageModelShape(7168, 60, 56, 8, 128, 20480, 64064)
_QWEN1_5_72B = LanguageModelShape(8192, 80, 64, 64, 128, 24576, 152064)
_QWEN2_7B = LanguageModelShape(3584, 28, 28, 4, 128, 18944, 152064)
_QWEN2_72B = LanguageModelShape(8192, 80, 64, 8, 128, 29568, 152064)


def _clip(width: int) -> VisionShape:
    """CLIP ViT-L/14 at 336 pixels without its last layer, and LLaVA's projector of two matrices."""
    return VisionShape(1024, 4096, 24, 23, 3 * 14 * 14, (1024, width, width))


def _qwen2_tower(width: int) -> VisionShape:
    return VisionShape(1280, 5120, 32, 32, 2 * 3 * 14 * 14, (5120, 5120, width))


def _qwen2_5_tower(width: int, mlp_width: int) -> VisionShape:
    """Windows of 112 pixels, so 64 patches, in all layers but four."""
    return VisionShape(
        1280,
        mlp_width,
        32,
        32,
        2 * 3 * 14 * 14,
        (5120, 5120, width),
        mlp_matrices=3,
        window=64,
        full_layers=4,
    )


_LLAVA_1_5 = OneGrid(336, 14)
_LLAVA_NEXT = Tiles(336, 14, _PINPOINTS)
_QWEN = NativeSize(14, 2, 56 * 56, 16384 * 28 * 28)


def _model(
    name: str,
    repository: str,
    language: LanguageModelShape,
    vision: VisionShape,
    pictures: PictureRule,
    max_positions: int,
) -> ModelShape:
    source = f"config.json of {repository}"
    served = isinstance(pictures, OneGrid)
    return ModelShape(name, source, language, vision, pictures, max_positions, served)


_ALL = (
    _model(
        "llava-1.5-7b",
        "llava-hf/llava-1.5-7b-hf",
        _VICUNA_7B,
        _clip(4096),
        _LLAVA_1_5,
        4096,
    ),
    _model(
        "llava-1.5-13b",
        "llava-hf/llava-1.5-13b-hf",
        _VICUNA_13B,
        _clip(5120),
        _LLAVA_1_5,
        4096,
    ),
    _model(
        "llava-next-7b",
        "llava-hf/llava-v1.6-vicuna-7b-hf",
        _VICUNA_7B,
        _clip(4096),
        _LLAVA_NEXT,
        4096,
    ),
    _model(
        "llava-next-mistral-7b",
        "llava-hf/llava-v1.6-mistral-7b-hf",
        _MISTRAL_7B,
        _clip(4096),
        _LLAVA_NEXT,
        32768,
    ),
    _model(
        "llava-next-13b",
        "llava-hf/llava-v1.6-vicuna-13b-hf",
        _VICUNA_13B,
        _clip(5120),
        _LLAVA_NEXT,
        4096,
    ),
    _model(
        "llava-next-34b",
        "llava-hf/llava-v1.6-34b-hf",
        _YI_34B,
        _clip(7168),
        _LLAVA_NEXT,
        4096,
    ),
    _model(
        "llava-next-72b",
        "llava-hf/llava-next-72b-hf",
        _QWEN1_5_72B,
        _clip(8192),
        _LLAVA_NEXT,
        32768,
    ),
    _model(
        "qwen2-vl-7b",
        "Qwen/Qwen2-VL-7B-Instruct",
        _QWEN2_7B,
        _qwen2_tower(3584),
        _QWEN,
        32768,
    ),
    _model(
        "qwen2-vl-72b",
        "Qwen/Qwen2-VL-72B-Instruct",
        _QWEN2_72B,
        _qwen2_tower(8192),
        _QWEN,
        32768,
    ),
    _model(
        "qwen2.5-vl-7b",
        "Qwen/Qwen2.5-VL-7B-Instruct",
        _QWEN2_7B,
        _qwen2_5_tower(3584, 3420),
        _QWEN,
        128000,
    ),
    _model(
        "qwen2.5-vl-72b",
        "Qwen/Qwen2.5-VL-72B-Instruct",
        _QWEN2_72B,
        _qwen2_5_tower(8192, 3456),
        _QWEN,
        128000,
    ),
)

PUBLISHED: dict[str, ModelShape] = {model.name: model for model in _ALL}
