"""The arena of the hostile tests: a process with an open driver, as a given user, which runs probes and controls."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import arena_process
import pytest
from hostile.probe import Caged, Control, Unisolated, Unprivileged

from sandbox_drivers import oci_runtime

OCI_RUNTIMES = {name: oci_runtime(name) for name in ("crun", "runc")}
DRIVERS = {"namespaces": "namespaces", **{name: f"oci:{path}" for name, path in OCI_RUNTIMES.items()}}
"""Every isolation driver that the hostile suite is run against, as `open_bench` names it."""
USERS = ("root", "ordinary") if os.geteuid() == 0 else ("ordinary",)


def _places(*drivers: str) -> tuple[str, ...]:
    return tuple(f"{driver}-{user}" for driver in drivers for user in USERS)


EVERYWHERE = _places(*DRIVERS)
"""Where probes are run: a driver and a user."""
PLACES = _places("namespaces", "crun")
"""Where trials are."""
OUTSIDE = _places("namespaces")
"""Where controls are, to which the driver does not matter: none of them runs in a sandbox of it."""
UNLIMITED_FILES = 4096
"""Beyond what a function may have open."""


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    output: str
    code: int | None
    signal: int | None


@dataclass
class Arena:
    """Speaks to the process. One call at a time."""

    process: subprocess.Popen[str]
    as_root: bool
    facts: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    _shared: int | None = None

    def read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the arena's process has ended"
        told = json.loads(line)
        if "impossible" in told:
            pytest.skip(told["impossible"])
        assert "error" not in told, told["error"]
        return told["answer"]

    def ask(self, name: str, **arguments: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([name, arguments]) + "\n")
        self.process.stdin.flush()
        return self.read()

    def filled_in(self, arguments: tuple[str, ...]) -> list[str]:
        return [argument.format_map(self.facts) for argument in arguments]

    def tells(self, beginning: str) -> str:
        """The sentence on what can not be had on this machine that begins so; empty if there is none."""
        return next((sentence for sentence in self.missing if sentence.startswith(beginning)), "")

    # Sandboxes. `bench` is "sandbox", or "process" for no isolation.

    def create(self, bench: str = "sandbox", **limits: int) -> int:
        return int(self.ask("create", bench=bench, limits=limits))

    def start(self, sandbox: int, script: str, *arguments: str, bench: str = "sandbox", **variables: str) -> int:
        given = {"script": script, "arguments": arguments, "variables": variables}
        return int(self.ask("start", sandbox=sandbox, bench=bench, **given))

    def says(self, program: int, text: str) -> str:
        told = str(self.ask("says", program=program, text=text))
        assert text in told, told
        return told

    def outcome(self, program: int) -> Ended:
        return Ended(**self.ask("outcome", program=program))

    def run(self, sandbox: int, script: str, *arguments: str, bench: str = "sandbox", **variables: str) -> Ended:
        return self.outcome(self.start(sandbox, script, *arguments, bench=bench, **variables))

    def freeze(self, sandbox: int) -> None:
        self.ask("freeze", sandbox=sandbox)

    def kill(self, sandbox: int) -> None:
        self.ask("kill", sandbox=sandbox)

    def destroy(self, sandbox: int) -> None:
        self.ask("destroy", sandbox=sandbox)

    # Probes

    def attempt(self, script: str, arguments: tuple[str, ...], limits: Mapping[str, int]) -> Ended:
        """In a sandbox of its own if it has limits of its own, else in one that probes share: none of them leaves
        anything in it, and each is a new start."""
        if limits:
            sandbox = self.create(**limits)
            ended = self.run(sandbox, script, *self.filled_in(arguments))
            self.destroy(sandbox)
            return ended
        if self._shared is None:
            self._shared = self.create()
        return self.run(self._shared, script, *self.filled_in(arguments))

    def caged(self, without: tuple[str, ...], script: str, arguments: tuple[str, ...]) -> Ended:
        given = {"script": script, "arguments": self.filled_in(arguments)}
        return Ended(**self.ask("caged", without=without, **given))

    def control(self, control: Control, script: str, arguments: tuple[str, ...]) -> Ended:
        """The same program with the protection removed; skips the test where this machine can not show it."""
        missing = control.missing()
        if missing:
            pytest.skip(f"no control: {missing}")
        match control:
            case Caged(without):
                return self.caged(without, script, arguments)
            case Unprivileged():
                return Ended(**self.ask("unprivileged", script=script, arguments=self.filled_in(arguments)))
            case Unisolated(right):
                if right is not None and not (self.as_root and _root_has(right)):
                    pytest.skip("no control: only root, with all its rights, would be let through")
                sandbox = self.create("process", files=UNLIMITED_FILES)
                ended = self.run(sandbox, script, *self.filled_in(arguments), bench="process")
                self.destroy(sandbox)
                return ended


def _root_has(right: int) -> bool:
    """In a container, root lacks some."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return bool(int(status["CapEff"], 16) >> right & 1)


@contextmanager
def open_arena(place: str) -> Iterator[Arena]:
    driver, user = place.split("-")
    if not OCI_RUNTIMES.get(driver, driver):
        pytest.skip(f"{driver} is not here, and `make prerequisites` could not get it")
    command = [sys.executable, str(Path(arena_process.__file__)), DRIVERS[driver]]
    if user == "ordinary" and os.geteuid() == 0:
        command.append(str(arena_process.ORDINARY_USER))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            arena = Arena(process, user == "root")
            arena.read()
            told = arena.ask("facts")
            arena.facts, arena.missing = told["facts"], tuple(told["missing"])
            yield arena
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(60) == 0
        finally:
            process.kill()
