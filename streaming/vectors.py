"""What a vector must be before anybody computes with it."""

import numpy as np

from ..core.catalogue import EncodedItem
from ..core.errors import InvalidEvent

_WIDTH_BYTES = np.dtype(np.float32).itemsize


def require_sound(encoded: EncodedItem, width: int) -> None:
    """InvalidEvent (bad-vector) unless the item's vector has `width` (0: any) numbers, all of them finite.

    One NaN would make every distance to it NaN, and sort it anywhere.
    """
    got, rest = divmod(len(encoded.vector), _WIDTH_BYTES)
    if rest or (width and got != width):
        raise InvalidEvent(
            "bad-vector", f"model {encoded.model} gave {len(encoded.vector)} bytes, not {width or 'some'} float32"
        )
    if not np.isfinite(np.frombuffer(encoded.vector, np.float32)).all():
        raise InvalidEvent("bad-vector", f"model {encoded.model} gave a vector with NaN or infinity")
