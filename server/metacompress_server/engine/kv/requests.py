"""What a tier knows of a request: its session, and where each of its blocks stands."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metacompress_server.kv.index import SessionIndex
from metacompress_server.kv.session import Place, Visit

if TYPE_CHECKING:
    from vllm.v1.kv_offload.base import OffloadKey, ReqContext

SESSION = "metacompress_session"
"""Key in a request's `kv_transfer_params`: the session's id, already scoped to its tenant."""


@dataclass(frozen=True)
class RequestVisits:
    """A request's visits of the tiers, kept in its `ReqContext`.

    images_end: tokens of the prompt up to the end of its last picture, 0 without one.
    tokens_per_block: of every block.
    """

    host: Visit
    disk: Visit | None
    images_end: int
    tokens_per_block: int

    @classmethod
    def begin(
        cls,
        context: "ReqContext",
        host: SessionIndex,
        disk: SessionIndex | None,
        images_end: int,
        tokens_per_block: int,
    ) -> "RequestVisits":
        """Open the visits of a request that starts, and leave them in its context."""
        session = (context.kv_transfer_params or {}).get(SESSION)
        named = isinstance(session, str)
        group = f"session {session}" if named else f"request {context.req_id}"
        visits = cls(
            host.begin(group, named=named),
            disk.begin(group, named=named) if disk is not None else None,
            images_end,
            tokens_per_block,
        )
        context.set_state(visits)
        return visits

    @classmethod
    def of(cls, context: "ReqContext") -> "RequestVisits":
        """The visits of a request.

        Raises:
            LookupError: `begin` was not called for it.
        """
        visits = context.get_state(cls)
        if not isinstance(visits, cls):
            raise LookupError(f"request {context.req_id} was never announced")
        return visits

    def place(self, key: "OffloadKey", context: "ReqContext") -> Place:
        """Where the block stands in this request's prompt."""
        end = context.get_offload_key_position(key) or 0
        return Place(end, end - self.tokens_per_block < self.images_end)


def group_of(session: str) -> str:
    """The group under which the tiers keep a session's blocks."""
    return f"session {session}"
