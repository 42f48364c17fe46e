"""A function's words reach the launcher and the system calls: none that a program can not be given may end either."""

import asyncio
from typing import Any

import pytest

from lambent.testing.sandboxes import open_bench
from lambent.worker.sandbox.driver import SandboxError
from sandbox_drivers import isolating


@pytest.mark.parametrize("driver", [*isolating(), "process"])
def test_a_nul_in_a_variable_starts_nothing_and_the_launcher_goes_on(driver: str) -> None:
    async def run() -> None:
        async with open_bench(driver) as bench:
            sandbox = await bench.create()
            launcher = bench.driver.launcher_pid  # type: ignore[attr-defined]
            for bad in ({"AA": "x\0BB=y"}, {"AA": "\ud800"}, {"A=B": "x"}):
                with pytest.raises(SandboxError):
                    await bench.run(sandbox, "/bin/echo", "never", **bad)
            assert (await bench.run(sandbox, "/bin/echo", "well", AA="x")).output == "well\n"
            assert bench.driver.launcher_pid == launcher  # type: ignore[attr-defined]

    asyncio.run(run())


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
