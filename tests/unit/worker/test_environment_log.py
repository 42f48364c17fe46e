import pytest

from lambent.core.credentials import Credentials
from lambent.worker.environment_log import EnvironmentLog
from lambent.worker.messages import EnvironmentSpec


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
    spec = EnvironmentSpec(
        account="111122223333",
        region="us-east-1",
        function_name="f",
        version="$LATEST",
        runtime=runtime,
        handler="app.handler",
        memory_mib=128,
        timeout_ms=3000,
        ephemeral_mib=512,
        package="0" * 64,
        variables={},
        credentials=Credentials("id", "secret", "token"),
        log_group="/aws/lambda/f",
        log_stream="s",
    )
    (line,) = EnvironmentLog(spec, lambda event: None).platform.init_start(0)
    assert line.startswith(f"INIT_START Runtime Version: {told}\t")
