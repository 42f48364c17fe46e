"""A function's words reach bubblewrap among its arguments: none of them may become one.

The control shows the attack: joined as they were given, the words bring a view of the machine into the sandbox.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lambent.testing.sandboxes import open_bench
from lambent.worker.sandbox import confinement
from lambent.worker.sandbox.driver import SandboxError


@pytest.fixture
def canary(data_dir: Path) -> Path:
    """A file of the machine, where anybody may read it."""
    place = data_dir.parent / "canary"
    data_dir.parent.chmod(0o755)
    place.mkdir(mode=0o755)
    (place / "file").write_text("seen")
    return place


def injected(canary: Path) -> dict[str, str]:
    return {"AA": f"x\0--ro-bind\0{canary}\0/tmp/c"}


def test_a_nul_in_a_variable_starts_nothing_and_the_launcher_goes_on(canary: Path) -> None:
    async def run() -> None:
        async with open_bench("bubblewrap") as bench:
            sandbox = await bench.create()
            launcher = bench.driver.launcher_pid  # type: ignore[attr-defined]
            for bad in (injected(canary), {"AA": "\ud800"}):
                with pytest.raises(SandboxError):
                    await bench.run(sandbox, "/bin/cat", "/tmp/c/file", **bad)
            assert (await bench.run(sandbox, "/bin/echo", "well", AA="x")).output == "well\n"
            assert bench.driver.launcher_pid == launcher  # type: ignore[attr-defined]

    asyncio.run(run())


def test_control_the_same_words_are_an_argument_where_nobody_looks_at_them(canary: Path) -> None:
    words = ["--setenv", *next(iter(injected(canary).items()))]
    joined = b"".join(word.encode() + b"\0" for word in words)
    assert joined.split(b"\0")[3:6] == [b"--ro-bind", str(canary).encode(), b"/tmp/c"]
    with pytest.raises(OSError, match="NUL"):
        confinement._joined(words)


@pytest.mark.parametrize(
    "change",
    [{"Environment": {"Variables": {"AA": "x\0--ro-bind\0/\0/tmp/c"}}}, {"Handler": "app.handler\0x"}],
    ids=["variable", "handler"],
)
def test_the_api_refuses_what_no_program_can_be_given(server: Any, change: dict[str, Any]) -> None:
    with pytest.raises(server.client("lambda").exceptions.InvalidParameterValueException):
        server.client("lambda", parameter_validation=False).create_function(
            FunctionName="words",
            Runtime="python3.11",
            Role="arn:aws:iam::111122223333:role/function",
            Code={"ZipFile": b"not looked at"},
            **{"Handler": "app.handler", **change},
        )
