"""The options of `metacompress plan`, and what their values must be."""

import argparse
import math

from .gpus import GPUS
from .memory import DTYPE_BYTES, KV_DTYPE_BYTES

_DESCRIPTION = """\
Say how many picture dialogues fit into a GPU's KV cache, and what a first turn costs, with all
visual tokens and with fewer. Arithmetic alone: no GPU, no weights, nothing is started.
"""

_EXAMPLES = """\
examples:
  metacompress plan llava-1.5-7b --gpu A100-80GB
  metacompress plan llava-next-72b --gpu H100-80GB --gpus 8 --tensor-parallel-size 8
  metacompress plan qwen2.5-vl-7b --gpu L4 --kv-cache-dtype fp8 --picture 1280x720 --turns 8
  metacompress plan /models/llava --gpu-memory-gib 24 --retention 0.1 0.05 --json
  metacompress plan MODEL --kv-cache-memory-bytes 4G      a server with a KV cache of this size
  metacompress plan --list                                models and GPUs known by name

How to read it: a session is a whole dialogue, its pictures and all its turns. `sessions` is how
many the KV caches hold: one being answered, the others waiting for their next question with all of
their full blocks kept. More may be open: those beyond are evicted, or go to host memory
(--session-kv-gib). `TFLOP, turn 1` is tower, mapping and prefill of a first turn for which nothing
is in a cache; `share` is that work over the uncompressed one's, a bound on what time to the first
token can gain, since no overhead is in it.

Where the figures come from: sizes of the model from its configuration, exactly; weights from the
files, or from the shape and --weight-bits. Assumed, and measured on no GPU by this project: the
memory of named GPUs (about what drivers report), the reserve for activations, CUDA graphs and the
driver (--reserve-gib), and --efficiency, the share of the data sheet's rate that prefill reaches.
docs/capacity.md holds the model against servers that ran. Decoding is not modelled.

exit status 2: values that make no sense; the reason is one line on stderr
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `metacompress plan` to `parser`."""
    parser.description = _DESCRIPTION
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "model", nargs="?", help="a published shape by name (--list), or a checkpoint folder"
    )
    parser.add_argument("--list", action="store_true", help="models and GPUs known by name")
    parser.add_argument("--json", action="store_true", help="one JSON document, for programs")
    _add_machine(parser)
    _add_numbers(parser)
    _add_dialogue(parser)


def _add_machine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    memory = group.add_mutually_exclusive_group()
    memory.add_argument("--gpu", choices=list(GPUS), metavar="NAME", help=", ".join(GPUS))
    memory.add_argument(
        "--gpu-memory-gib", type=_positive_float, metavar="GIB", help="memory of one GPU"
    )
    memory.add_argument(
        "--kv-cache-memory-bytes",
        metavar="SIZE",
        help="memory for keys and values of a replica, as vLLM's flag takes it (4G)",
    )
    group.add_argument("--gpus", type=_positive, default=1, help="how many (default: 1)")
    group.add_argument(
        "--tensor-parallel-size",
        type=_positive,
        default=1,
        metavar="N",
        help="GPUs that share a replica (default: 1)",
    )
    group.add_argument(
        "--gpu-memory-utilization",
        type=_share,
        default=0.9,
        metavar="SHARE",
        help="of a GPU that vLLM may use (default: 0.9, as in vLLM)",
    )
    group.add_argument(
        "--reserve-gib",
        type=_positive_float,
        metavar="GIB",
        help="per GPU, besides weights and KV (default: assumed from the model's widths)",
    )
    group.add_argument(
        "--session-kv-gib",
        type=_positive_float,
        default=0.0,
        metavar="GIB",
        help="host memory for sessions' keys and values, per replica (default: none)",
    )
    group.add_argument(
        "--efficiency",
        type=_share,
        default=0.5,
        metavar="SHARE",
        help="of the GPU's dense bf16 rate that prefill reaches (default: 0.5, assumed)",
    )
    group.add_argument(
        "--prefill-tflops",
        type=_positive_float,
        metavar="RATE",
        help="rate of one replica as you measured it, in TFLOP/s, in place of --efficiency",
    )


def _add_numbers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("numbers")
    group.add_argument(
        "--dtype", choices=list(DTYPE_BYTES), default="bfloat16", help="of the model"
    )
    group.add_argument(
        "--kv-cache-dtype",
        choices=["auto", *KV_DTYPE_BYTES],
        default="auto",
        metavar="DTYPE",
        help=f"auto (the model's), {', '.join(KV_DTYPE_BYTES)} (default: auto)",
    )
    group.add_argument(
        "--weight-bits",
        type=_positive_float,
        metavar="BITS",
        help="of one weight (default: as stored in the folder, else those of --dtype)",
    )
    group.add_argument(
        "--block-size", type=_positive, default=16, help="tokens of a KV block (default: 16)"
    )


def _add_dialogue(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("dialogue")
    group.add_argument(
        "--retention",
        type=_share,
        nargs="+",
        default=[0.3, 0.2, 0.1, 0.05],
        metavar="RATIO",
        help="kept shares of the visual tokens (default: 0.3 0.2 0.1 0.05)",
    )
    group.add_argument(
        "--windows", choices=["1d", "2d"], default="2d", help="rule of m (default: 2d)"
    )
    group.add_argument("--turns", type=_positive, default=5, help="per dialogue (default: 5)")
    group.add_argument(
        "--question-tokens", type=_positive, default=30, metavar="N", help="per turn (default: 30)"
    )
    group.add_argument(
        "--answer-tokens", type=_positive, default=70, metavar="N", help="per turn (default: 70)"
    )
    group.add_argument(
        "--pictures", type=_positive, default=1, metavar="N", help="per dialogue (default: 1)"
    )
    group.add_argument(
        "--picture",
        type=_pixels,
        default=(672, 672),
        metavar="WxH",
        help="pixels; matters where n depends on them (default: 672x672)",
    )


def _positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _positive_float(text: str) -> float:
    value = _float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return value


def _share(text: str) -> float:
    value = _float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share above 0 and at most 1")
    return value


def _float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def _pixels(text: str) -> tuple[int, int]:
    """`WxH`, both from 1 on."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT in pixels, as 1280x720")
    return int(width), int(height)
