"""What a worker is told of an environment, where a test cares for little of it."""

from lambent.core.credentials import Credentials
from lambent.worker.messages import EnvironmentSpec

SPEC = EnvironmentSpec(
    account="111122223333",
    region="us-east-1",
    function_name="f",
    version="$LATEST",
    runtime="python3.13",
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
