"""What the rest of Lambent asks about language runtimes: `Runtimes`.

`prepare` may take seconds (it starts interpreters and installs kits) and is called when a function is created and
before its first environment; `launch` is for every environment and only reads memory.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from lambent.core.limits import RUNTIMES, RUNTIMES_RUN
from lambent.worker.runtimes import provided
from lambent.worker.runtimes.interpreters import Interpreters
from lambent.worker.runtimes.launch import FoundRuntime, InvalidEntrypoint, Launch, RuntimeUnavailable
from lambent.worker.runtimes.node import NodeRuntimes, Nodes
from lambent.worker.runtimes.python import PythonRuntimes
from lambent.worker.sandbox.driver import Template

__all__ = ["FoundRuntime", "InvalidEntrypoint", "Launch", "RuntimeUnavailable", "Runtimes"]


class Runtimes:
    """The runtimes of this machine. Arguments are the settings of the same names."""

    def __init__(self, cache_dir: Path, node: str = "", node_client: str = "lambent", python_search: str = "") -> None:
        interpreters = Interpreters(python_search, os.environ, Path.home())
        nodes = Nodes(node, os.environ, Path.home())
        self._searches = (interpreters.search, nodes.search)
        self._python = PythonRuntimes(cache_dir, interpreters)
        self._node = NodeRuntimes(cache_dir, nodes, node_client, os.environ)
        self._ready: dict[str, Launch] = {}
        self._preparing: dict[str, asyncio.Task[Launch]] = {}
        self.on_ready: Callable[[Template], None] = lambda _: None
        """Is called with the template of each runtime that was prepared."""

    async def prepare(self, runtime: str) -> None:
        """Make sure that functions of the runtime can be launched. Raises RuntimeUnavailable."""
        if runtime in self._ready or runtime.startswith("provided."):
            return
        task = self._preparing.get(runtime)
        if task is None:
            task = asyncio.create_task(asyncio.to_thread(self._prepare, runtime))
            self._preparing[runtime] = task
            task.add_done_callback(lambda _: self._preparing.pop(runtime))
        # A caller that is cancelled leaves the preparation to the others, and to the next one.
        launch = await asyncio.shield(task)
        if runtime not in self._ready:
            self._ready[runtime] = launch
            self.on_ready(launch.template)

    def launch(self, runtime: str, code: Path, layers: Path | None = None) -> Launch:
        """How to start a function of a prepared runtime, whose unpacked package is `code` and whose layers' merged
        tree, if it has any, is `layers`.

        Raises InvalidEntrypoint for a function that brings no program of its own where the runtime wants one.
        """
        if runtime.startswith("provided."):
            return provided.launch(code, layers)
        return self._ready[runtime]

    def found(self) -> Sequence[FoundRuntime]:
        """The interpreters of this machine. Blocks for up to seconds: it asks each."""
        return [*self._python.found(), *self._node.found()]

    def unreadable(self) -> Sequence[Path]:
        """The places in which interpreters were looked for and that can not be read; of what was asked so far."""
        return list(dict.fromkeys(place for search in self._searches for place in search.unreadable))

    def _prepare(self, runtime: str) -> Launch:
        if runtime in RUNTIMES_RUN:
            language = self._python if runtime.startswith("python3.") else self._node
            try:
                return language.prepare(runtime)
            except OSError as error:
                raise RuntimeUnavailable(f"{runtime} can not be prepared on this machine: {error}") from error
        if runtime in RUNTIMES:
            raise RuntimeUnavailable(f"Lambent does not run {runtime} yet; docs/compatibility.md lists what it runs")
        raise RuntimeUnavailable(
            f"{runtime} is no runtime of AWS Lambda; docs/compatibility.md lists what Lambent runs"
        )
