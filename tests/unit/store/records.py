"""Records of functions for the tests of the store."""

from typing import Any

from msgspec.structs import replace

from lambent.core.function import LATEST, Configuration, FunctionName, FunctionVersion, Logging, Package
from lambent.core.function_state import CREATED, PUBLISHED, Lifecycle

ACCOUNT = "123456789012"
REGION = "eu-west-1"
PREPARED = PUBLISHED


def name(text: str) -> FunctionName:
    return FunctionName(ACCOUNT, REGION, text)


def record(
    text: str = "echo",
    revision: str = "r1",
    lifecycle: Lifecycle = CREATED,
    version: str = LATEST,
    digest: str = "d1",
    **configuration: Any,
) -> FunctionVersion:
    return FunctionVersion(
        function=name(text),
        version=version,
        configuration=replace(
            Configuration(
                role="arn:aws:iam::123456789012:role/r",
                runtime="python3.13",
                handler="app.handler",
                logging=Logging(log_group=f"/aws/lambda/{text}"),
            ),
            **configuration,
        ),
        package=Package(digest, 10),
        architectures=("x86_64",),
        revision_id=revision,
        config_revision="c1",
        last_modified_ms=1_700_000_000_000,
        state=lifecycle.state,
        last_update=lifecycle.last_update,
        tags={"team": "blue"},
    )
