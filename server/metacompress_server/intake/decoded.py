"""Decoded pictures of a tenant's last requests: the turns that follow need no decoding again."""

import hashlib
from collections import OrderedDict

from PIL import Image

Key = tuple[str, bytes]


class DecodedPictures:
    """Least recently used first out. A tenant finds its own pictures alone.

    Args:
        budget_bytes: of all pixels; a picture beyond it is not kept. 0: nothing is.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._bytes = 0
        self._pictures: OrderedDict[Key, Image.Image] = OrderedDict()

    @staticmethod
    def key(tenant_salt: str, content: bytes) -> Key:
        """Names a file of a tenant."""
        return tenant_salt, hashlib.sha256(content).digest()

    def get(self, key: Key) -> Image.Image | None:
        """The picture, for its receiver to change; None where it is not here."""
        picture = self._pictures.get(key)
        if picture is None:
            return None
        self._pictures.move_to_end(key)
        return _shared(picture)

    def put(self, key: Key, picture: Image.Image) -> None:
        """Keep the picture; whoever has it may go on changing it."""
        if key in self._pictures or _size(picture) > self._budget:
            return
        self._pictures[key] = _shared(picture)
        self._bytes += _size(picture)
        while self._bytes > self._budget:
            _, dropped = self._pictures.popitem(last=False)
            self._bytes -= _size(dropped)


def _shared(picture: Image.Image) -> Image.Image:
    """The same pixels under an object with an `info` of its own.

    Pillow copies pixels that are read-only before it changes them; requests only look at them.
    """
    picture.readonly = 1
    shared = picture._new(picture.im)
    shared.readonly = 1
    return shared


def _size(picture: Image.Image) -> int:
    """Bytes of an RGB picture's pixels as Pillow holds them: four for each."""
    return 4 * picture.width * picture.height
