"""The form of plain data.

A msgspec structure, not a dataclass: a frozen dataclass sets each field through a call of its own, which for the two
dozen records of an invocation was a tenth of the server's time; and defining one takes 1.5 ms of the start, a structure
0.04. Dataclasses remain for what is no data (a bundle of services), for settings, and in the sandbox's launcher, which
has the standard library alone.
"""

from collections.abc import Mapping

import msgspec


class Record(msgspec.Struct, frozen=True, gc=False):
    """Immutable data, of which nothing refers back to its owner. Its repr tells how much of a payload there is, and
    never what it says: a record may end in an operator's log."""

    def __repr__(self) -> str:
        fields = (f"{name}={_shown(getattr(self, name))}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({', '.join(fields)})"


def _shown(value: object) -> str:
    if isinstance(value, bytes | tuple | Mapping):
        return f"<{type(value).__name__} of {len(value)}>"
    return repr(value)
