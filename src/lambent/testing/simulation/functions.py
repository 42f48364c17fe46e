"""Functions as a dispatcher is handed them, without what they would run."""

from typing import Any

from lambent.core.function import Configuration, FunctionName, FunctionVersion, Logging, Package, Status

ACCOUNT, REGION = "111122223333", "us-east-1"


def named(name: str) -> FunctionName:
    return FunctionName(ACCOUNT, REGION, name)


def version_of(function: FunctionName, version: str, revision: int, **configuration: Any) -> FunctionVersion:
    """No two revisions have the same package."""
    return FunctionVersion(
        function=function,
        version=version,
        configuration=Configuration(
            f"arn:aws:iam::{ACCOUNT}:role/r",
            "python3.13",
            "app.handler",
            logging=Logging(f"/aws/lambda/{function.name}"),
            **configuration,
        ),
        package=Package(f"{revision:064x}", 1),
        architectures=("x86_64",),
        revision_id=str(revision),
        config_revision=str(revision),
        last_modified_ms=0,
        state=Status("Active"),
        last_update=None,
    )
