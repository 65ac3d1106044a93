"""People's ids as keyed hashes: the raw id never enters log, memory, audit or metrics."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pseudonymiser:
    """Turns raw user ids into stable 128-bit pseudonyms under a secret key (keyed BLAKE2b)."""

    secret: bytes

    def user_key(self, raw_id: str) -> str:
        """The pseudonym of `raw_id` in hex; the empty id stays empty, as it names nobody."""
        if not raw_id:
            return ""
        return hashlib.blake2b(raw_id.encode(), digest_size=16, key=self.secret[:64]).hexdigest()
