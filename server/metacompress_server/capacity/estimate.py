"""The capacity model: from a model, a machine and a dialogue to sessions, for several budgets."""

from collections.abc import Sequence
from dataclasses import dataclass

from .memory import CapacityError, KvLayout, Pool
from .models import ModelShape
from .sessions import Budget, Dialogue, SessionCost, session_cost


@dataclass(frozen=True)
class Machine:
    """What serves.

    Attributes:
        name: for people.
        replicas: servers beside each other, each with a KV cache of its own.
        pool: memory of one replica.
        host_bytes: host memory for sessions' keys and values, of one replica.
        prefill_flops_per_s: of one replica; None where neither a GPU nor a rate is known.
    """

    name: str
    replicas: int
    pool: Pool
    host_bytes: int = 0
    prefill_flops_per_s: float | None = None


@dataclass(frozen=True)
class Estimate:
    """What a machine holds at one budget, all replicas together.

    Attributes:
        budget: what was asked for; a retention ratio of 1 is the uncompressed model.
        cost: of one dialogue.
        sessions: that the GPUs' KV caches hold, each as long as it gets, one being answered.
        host_sessions: that host memory holds besides.
        times_uncompressed: `sessions` over those of the uncompressed model; None where that one
            holds none.
        work_share: work of a first turn over the uncompressed one's.
        first_turn_s: time of that work at the machine's rate.
    """

    budget: Budget
    cost: SessionCost
    sessions: int
    host_sessions: int
    times_uncompressed: float | None
    work_share: float
    first_turn_s: float | None


@dataclass(frozen=True)
class Plan:
    """What was asked, and one estimate for each budget, the uncompressed one first."""

    model: ModelShape
    machine: Machine
    dialogue: Dialogue
    kv: KvLayout
    estimates: tuple[Estimate, ...]


def make_plan(
    model: ModelShape,
    machine: Machine,
    dialogue: Dialogue,
    kv: KvLayout,
    budgets: Sequence[Budget],
) -> Plan:
    """Estimate every budget beside the uncompressed model.

    Raises:
        CapacityError: a picture of which no token is left.
    """
    try:
        costs = {
            budget: session_cost(model, dialogue, budget, kv) for budget in (Budget(1.0), *budgets)
        }
    except ValueError as error:
        size = f"{dialogue.width}x{dialogue.height}"
        raise CapacityError(
            f"{model.name} makes nothing of a picture of {size}: {error}"
        ) from error
    full = costs[Budget(1.0)]
    estimates = tuple(_estimate(machine, budget, cost, full) for budget, cost in costs.items())
    return Plan(model, machine, dialogue, kv, estimates)


def _estimate(machine: Machine, budget: Budget, cost: SessionCost, full: SessionCost) -> Estimate:
    sessions = cost.fitting(machine.pool.kv) * machine.replicas
    uncompressed = full.fitting(machine.pool.kv) * machine.replicas
    rate = machine.prefill_flops_per_s
    return Estimate(
        budget=budget,
        cost=cost,
        sessions=sessions,
        host_sessions=cost.fitting_in_host(machine.host_bytes) * machine.replicas,
        times_uncompressed=sessions / uncompressed if uncompressed else None,
        work_share=cost.first_turn_flops / full.first_turn_flops,
        first_turn_s=cost.first_turn_flops / rate if rate else None,
    )
