"""Code signing configurations: whose signatures are accepted, and what becomes of code that has none of them.

Lambent verifies no signatures, so no code is known to be signed: under `Enforce` all of it is refused.
"""

import msgspec

from lambent.core.arn import partition_of
from lambent.core.errors import CodeVerificationFailedException
from lambent.core.record import Record

NOT_FOR_IMAGES = "Code signing is not supported for a function with packageType Image."
"""In words of ours. Source of the rule: developer guide, "Using code signing to verify code integrity with Lambda"."""
WARN = "Warn"
ENFORCE = "Enforce"


class CodeSigningConfig(Record, frozen=True):
    """`publishers` are ARNs of signing profile versions. `untrusted` is WARN or ENFORCE."""

    account: str
    region: str
    config_id: str
    publishers: tuple[str, ...]
    modified_ms: int
    untrusted: str = WARN
    description: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict)


def code_signing_config_arn(config: CodeSigningConfig) -> str:
    partition = partition_of(config.region)
    return f"arn:{partition}:lambda:{config.region}:{config.account}:code-signing-config:{config.config_id}"


def check_deployment(config: CodeSigningConfig | None, arn: str) -> None:
    """Raises CodeVerificationFailedException where the configuration of a function does not let the code of this
    function or layer version be deployed."""
    if config is not None and config.untrusted == ENFORCE:
        raise CodeVerificationFailedException(
            "Lambda cannot deploy the function. The function or layer might be signed using a signature that the "
            f"client is not configured to accept. Check the provided signature for {arn}."
        )
