"""Unique ids from the system's randomness. Handed to whoever needs identity.

Randomness is taken a block at a time: asking the kernel for each id costs more than making it.
"""

import os

_BLOCK_BYTES = 2048


class RandomIds:
    """Nothing can be told of one id from others. One per process, for its one event loop."""

    def __init__(self) -> None:
        self._digits = ""
        self._at = 0

    def hex(self, digits: int) -> str:
        """So many random hexadecimal digits, at most those of a block."""
        end = self._at + digits
        if end > len(self._digits):
            self._digits = os.urandom(_BLOCK_BYTES).hex()
            self._at, end = 0, digits
        taken = self._digits[self._at : end]
        self._at = end
        return taken

    def uuid(self) -> str:
        """A UUID of version 4. Source: RFC 9562, section 5.4."""
        h = self.hex(32)
        return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{'89ab'[int(h[16], 16) & 3]}{h[17:20]}-{h[20:]}"
