"""Which dialogues keep all their visual tokens, so that what compression saves can be measured."""

import hashlib
from dataclasses import dataclass

from metacompress_server.tenants import Tenant

from .sources import PictureSource

_TAIL = 4096


@dataclass(frozen=True)
class Bypass:
    """Draws a share of the dialogues, [0, 1): by a digest, so every turn is drawn alike."""

    share: float

    def draws(self, tenant: Tenant, session_id: str | None, first: PictureSource) -> bool:
        """Whether a dialogue is drawn.

        Args:
            session_id: the client's; without one the first picture stands for the dialogue.
            first: picture of the request.
        """
        if not self.share:
            return False
        name = session_id.encode() if session_id is not None else _tail(first.source)
        digest = hashlib.sha256(b"bypass\0" + tenant.cache_salt.encode() + name).digest()
        return int.from_bytes(digest[:8]) < self.share * 2.0**64


def _tail(source: str | bytes) -> bytes:
    """A picture's last bytes tell it from others well enough for a draw, whatever its size."""
    end = source[-_TAIL:]
    return end.encode() if isinstance(end, str) else end
