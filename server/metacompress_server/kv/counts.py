"""What the session tiers report: plain numbers that travel between processes."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from .disk_store import DiskStore
from .index import SessionIndex


@dataclass
class HitCounts:
    """Tokens whose keys and values requests loaded instead of computing them, and blocks stored."""

    host_hit_tokens: int = 0
    disk_hit_tokens: int = 0
    stores: int = 0


def session_report(
    host: SessionIndex, disk: DiskStore | None, groups: list[str] | None
) -> dict[str, dict[str, Any]]:
    """What named sessions hold.

    Args:
        host: the host tier.
        disk: the tier below it, if there is one.
        groups: the sessions in question; None for all. Those that hold nothing are left out.
    """
    indexes = {"host": host} | ({"disk": disk.index} if disk else {})
    if groups is None:
        groups = sorted({name for index in indexes.values() for name in index.named_groups()})
    report = {}
    for group in groups:
        uses = {name: use for name, index in indexes.items() if (use := index.session(group))}
        if uses:
            report[group] = {
                "host_bytes": uses["host"].bytes if "host" in uses else 0,
                "disk_bytes": uses["disk"].bytes if "disk" in uses else 0,
                "blocks": max(use.blocks for use in uses.values()),
                "last_used": max(use.last_used for use in uses.values()),
            }
    return report


def totals_report(hits: HitCounts, host: SessionIndex, disk: DiskStore | None) -> dict[str, Any]:
    """Bytes held, budgets, hits, and evictions by reason (in blocks) of both tiers together."""
    evictions: Counter[str] = Counter({str(reason): n for reason, n in host.evictions.items()})
    if disk is not None:
        evictions.update({str(reason): n for reason, n in disk.index.evictions.items()})
    return {
        "host_bytes": host.bytes,
        "host_budget_bytes": host.limits.max_bytes,
        "disk_bytes": disk.index.bytes if disk else 0,
        "disk_budget_bytes": disk.index.limits.max_bytes if disk else 0,
        **asdict(hits),
        "evictions": dict(evictions),
        "disk": asdict(disk.counts) if disk else {},
    }
