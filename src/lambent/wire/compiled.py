"""Conversions compiled once for each shape, where a shape may contain itself."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from lambent.wire.catalog import Shape

Conversion = TypeVar("Conversion", bound=Callable[..., Any])


class Compiled(Generic[Conversion]):
    """What was compiled, by shape. A shape that is met inside of itself gets a conversion that looks its own up when
    it is called."""

    def __init__(self) -> None:
        self._by_name: dict[str, Any] = {}

    def of(self, shape: Shape, compile_one: Callable[[Shape], Conversion]) -> Conversion:
        by_name, name = self._by_name, shape.name
        if name not in by_name:
            by_name[name] = lambda *arguments: by_name[name](*arguments)
            by_name[name] = compile_one(shape)
        made: Conversion = by_name[name]
        return made
