import pytest
from environment_specs import SPEC
from msgspec.structs import replace

from lambent.worker.environment_log import EnvironmentLog


@pytest.mark.parametrize(
    ("runtime", "told"),
    [
        ("python3.13", "python:3.13"),
        ("nodejs22.x", "nodejs:22"),
        ("provided.al2023", "provided:al2023"),
        ("java8.al2", "java:8.al2"),
        ("dotnet8", "dotnet:8"),
    ],
)
def test_a_runtime_is_told_by_its_family_and_its_version(runtime: str, told: str) -> None:
    (line,) = EnvironmentLog(replace(SPEC, runtime=runtime), lambda event: None).platform.init_start(0, repeated=False)
    assert line.startswith(f"INIT_START Runtime Version: {told}\t")
