"""Let a torchvision wheel that was built for CUDA be imported beside a CPU build of torch.

torchvision 0.28 from PyPI is built for CUDA: beside CPU torch its C++ library cannot be loaded, and
`import torchvision` then dies with "operator torchvision::nms does not exist", because it registers
meta kernels for two operators that nobody has declared. Declaring them is enough for everything
that does not call them, and neither vLLM nor this project does. `import torch` runs this module
last, through the entry point group `torch.backends`.
"""

import ctypes
import importlib.util
from pathlib import Path

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

_library = None  # kept: the schemas live as long as the library object


def register_torchvision_schemas() -> None:
    """Declare torchvision's `nms` and `qnms` where its own C++ library cannot do so."""
    global _library
    if _library is not None or not _is_torchvision_broken():
        return
    import torch

    _library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        _library.define(schema)


def _is_torchvision_broken() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    binary = Path(spec.origin).parent / "_C.so"
    if not binary.is_file():
        return False
    try:
        ctypes.CDLL(str(binary))
    except OSError:
        return True
    return False
