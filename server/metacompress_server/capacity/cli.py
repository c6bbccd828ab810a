"""`metacompress plan`: from options to a plan, and errors as one line."""

import argparse
import json
import sys
from pathlib import Path

from .estimate import Machine, Plan, make_plan
from .gpus import GIB, GPUS
from .memory import (
    DTYPE_BYTES,
    KV_DTYPE_BYTES,
    CapacityError,
    KvLayout,
    Pool,
    assumed_reserve,
    gpu_pool,
    size_of,
)
from .models import ModelShape
from .options import add_arguments
from .published import PUBLISHED
from .sessions import Budget, Dialogue

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace) -> int:
    """Plan as `args` say.

    Returns:
        0, or 2 for values that make no sense.
    """
    from rich.console import Console

    from .report import as_json, print_known, print_plan

    if args.list:
        print_known(Console())
        return 0
    try:
        plan = plan_of(args)
    except CapacityError as error:
        print(f"metacompress plan: {error}", file=sys.stderr)
        return 2
    notes = _notes(args, plan)
    if args.json:
        print(json.dumps(as_json(plan, notes)))
    else:
        print_plan(plan, notes, Console())
    return 0


def plan_of(args: argparse.Namespace) -> Plan:
    """The plan that the options ask for.

    Raises:
        CapacityError: as one line naming the value.
    """
    model = _model(args.model)
    tensor_parallel = args.tensor_parallel_size
    _check_parallel(model, args.gpus, tensor_parallel)
    number_bytes = (
        DTYPE_BYTES[args.dtype]
        if args.kv_cache_dtype == "auto"
        else KV_DTYPE_BYTES[args.kv_cache_dtype]
    )
    width, height = args.picture
    dialogue = Dialogue(
        args.turns, args.question_tokens, args.answer_tokens, args.pictures, width, height
    )
    kv = KvLayout(number_bytes, args.block_size, tensor_parallel)
    budgets = [Budget(ratio, args.windows) for ratio in dict.fromkeys(args.retention) if ratio < 1]
    return make_plan(model, _machine(args, model), dialogue, kv, budgets)


def _model(name: str | None) -> ModelShape:
    if name is None:
        raise CapacityError("say which model: a checkpoint folder, or a name that --list knows")
    if name in PUBLISHED:
        return PUBLISHED[name]
    folder = Path(name)
    if not folder.is_dir():
        known = ", ".join(PUBLISHED)
        raise CapacityError(f"{name} is neither a folder nor a published shape: {known}")
    from .checkpoint_model import checkpoint_model

    return checkpoint_model(folder)


def _check_parallel(model: ModelShape, gpus: int, tensor_parallel: int) -> None:
    if gpus % tensor_parallel:
        raise CapacityError(
            f"--gpus {gpus} cannot be shared out in replicas of --tensor-parallel-size "
            f"{tensor_parallel}"
        )
    heads = model.language.num_heads
    if heads % tensor_parallel:
        raise CapacityError(
            f"--tensor-parallel-size {tensor_parallel} does not divide the {heads} attention heads "
            f"of {model.name}"
        )
    keys = model.language.num_key_heads
    if max(keys, tensor_parallel) % min(keys, tensor_parallel):
        raise CapacityError(
            f"--tensor-parallel-size {tensor_parallel} and the {keys} key heads of {model.name} do "
            "not divide each other"
        )


def _machine(args: argparse.Namespace, model: ModelShape) -> Machine:
    """Memory and rate of a replica, and how many there are.

    Raises:
        CapacityError: no memory was named, or none is left for keys and values.
    """
    bits = args.weight_bits or 8 * DTYPE_BYTES[args.dtype]
    computed = int(model.weights * bits / 8)
    weights = computed if args.weight_bits else model.stored_bytes or computed
    tensor_parallel = args.tensor_parallel_size
    if args.kv_cache_memory_bytes is not None:
        given = size_of(args.kv_cache_memory_bytes)
        name, pool = "a server of given KV cache", Pool(None, None, weights, 0, given)
    else:
        name, memory_gib = _gpu(args)
        reserve = (
            assumed_reserve(model, tensor_parallel)
            if args.reserve_gib is None
            else int(args.reserve_gib * GIB)
        )
        pool = gpu_pool(
            weights, int(memory_gib * GIB), args.gpu_memory_utilization, tensor_parallel, reserve
        )
        name = f"{args.gpus} x {name}"
    return Machine(
        name=name,
        replicas=args.gpus // tensor_parallel,
        pool=pool,
        host_bytes=int(args.session_kv_gib * GIB),
        prefill_flops_per_s=_rate(args),
    )


def _gpu(args: argparse.Namespace) -> tuple[str, float]:
    if args.gpu is not None:
        return args.gpu, GPUS[args.gpu].memory_gib
    if args.gpu_memory_gib is None:
        raise CapacityError(
            "say which memory: --gpu NAME, --gpu-memory-gib GIB or --kv-cache-memory-bytes SIZE"
        )
    return f"GPU of {args.gpu_memory_gib:g} GiB", args.gpu_memory_gib


def _rate(args: argparse.Namespace) -> float | None:
    """Operations per second of one replica's prefill."""
    if args.prefill_tflops is not None:
        return float(args.prefill_tflops * 1e12)
    if args.gpu is None:
        return None
    return float(GPUS[args.gpu].tflops * 1e12 * args.efficiency * args.tensor_parallel_size)


def _notes(args: argparse.Namespace, plan: Plan) -> list[str]:
    """What has to be told with the figures: what was assumed, and what does not fit."""
    notes = []
    if not plan.model.served:
        notes.append(f"{plan.model.name} is not served by metacompress yet: arithmetic only")
    if args.kv_cache_memory_bytes is None and args.reserve_gib is None:
        notes.append("the reserve is assumed, not measured (--reserve-gib)")
    if args.gpu is not None and args.prefill_tflops is None:
        rate = GPUS[args.gpu].tflops
        notes.append(
            f"times assume {args.efficiency:.0%} of {rate:g} TFLOP/s; not measured "
            "(--efficiency, --prefill-tflops)"
        )
    positions, limit = plan.estimates[0].cost.positions, plan.model.max_positions
    if positions > limit:
        notes.append(f"the dialogue reaches {positions:,} positions, the model has {limit:,}")
    if not plan.estimates[0].sessions:
        notes.append("not one uncompressed dialogue fits")
    return notes
