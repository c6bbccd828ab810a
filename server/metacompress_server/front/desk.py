"""What the front door of one HTTP process shares: settings, keys, gate, picture token."""

from dataclasses import dataclass

from metacompress_server.settings import ServerSettings

from .gate import Gate
from .keys import KeyRing
from .metrics import front_metrics

_BODIES_PER_LIMIT = 16


@dataclass
class FrontDesk:
    """Made before the first request; the engine's part is filled in when it is there.

    placeholder: the tokenizer's picture token, None where it is not known.
    access_log: whether every request gets a line.
    """

    settings: ServerSettings
    keys: KeyRing
    gate: Gate
    placeholder: str | None = None
    access_log: bool = True

    @classmethod
    def of(cls, settings: ServerSettings, extra_keys: tuple[str, ...] = ()) -> "FrontDesk":
        """As the operator set it.

        Raises:
            KeysError: the keys cannot be read.
        """
        max_body = int(settings.max_body_mib * (1 << 20))
        gate = Gate(float(settings.retry_after_s), max_bytes=_BODIES_PER_LIMIT * max_body)
        keys = KeyRing(settings, extra_keys)
        return cls(settings, keys, gate, access_log=settings.access_log)

    def know_engine(self, sequences: int, placeholder: str | None) -> None:
        """What the engine runs at the same time, and the model's picture token."""
        self.gate.limit = sequences + self.settings.max_queued_requests
        self.placeholder = placeholder
        front_metrics().limit.set(self.gate.limit)

    def drain(self) -> None:
        """From here on nobody is let in."""
        self.gate.draining = True
        front_metrics().draining.set(1)
