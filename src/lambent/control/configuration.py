"""From the members of CreateFunction and UpdateFunctionConfiguration to a `Configuration`: decisions, no I/O.

What the service model states is checked before, on the wire; here is what the model does not say. Every member is
acted upon, stored and returned, or refused: `docs/compatibility.md` has a row for each. None is dropped silently.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from msgspec.structs import replace

from lambent.control import image_config
from lambent.control.words import check_words
from lambent.core.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    NotImplementedException,
    ValidationException,
)
from lambent.core.event_invoke import DEAD_LETTER_TARGETS, is_destination
from lambent.core.function import NO_SNAP_START, Configuration, Logging
from lambent.core.limits import (
    ENVIRONMENT_BYTES,
    EPHEMERAL_MIB_MAX,
    MEMORY_MIB_MAX,
    RESERVED_VARIABLES,
    RETIRED_RUNTIMES,
    RUNTIMES,
    SNAP_START_EPHEMERAL_MIB_MAX,
    SNAP_START_RUNTIMES,
    TAGS_PER_RESOURCE,
    TIMEOUT_S_MAX,
)
from lambent.wire.call import Call

Params = Mapping[str, Any]

NOT_YET = (
    "PublishTo",
    "CapacityProviderConfig",
    "DurableConfig",
    "RuntimeConfig",
    "AcceleratorConfig",
)
"""Members that a function could not do without if it asks for them: refused while they are not built."""


def check_role(call: Call) -> None:
    """Raises AccessDeniedException for a role that is not of the caller's account, or not of the partition here."""
    role: str | None = call.params.get("Role")
    if role is not None and not role.startswith(f"arn:{call.partition}:iam::{call.caller.account}:"):
        raise AccessDeniedException("Cross-account pass role is not allowed.")


def create(params: Params, snap_start_runtimes: Collection[str] = SNAP_START_RUNTIMES) -> Configuration:
    """The configuration of a new function. Raises the modelled errors."""
    name = params["FunctionName"]
    image = is_image(params)
    if not image and not (params.get("Runtime") and params.get("Handler")):
        raise InvalidParameterValueException(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
        )
    blank = Configuration(
        role=params["Role"],
        runtime="",
        handler="",
        logging=Logging(log_group=f"/aws/lambda/{name}"),
        tenant_isolation_mode=(params.get("TenancyConfig") or {}).get("TenantIsolationMode"),
    )
    return change(blank, params, image=image, snap_start_runtimes=snap_start_runtimes)


def is_image(params: Params) -> bool:
    """Whether a new function's code is an image."""
    return bool(params.get("PackageType") == "Image")


def change(
    before: Configuration,
    params: Params,
    *,
    image: bool,
    snap_start_runtimes: Collection[str] = SNAP_START_RUNTIMES,
) -> Configuration:
    """The configuration after an update: a member that is absent stays as it was. `image` tells whether the code of
    the function is an image. Raises the modelled errors."""
    _refuse_what_is_not_built(params)
    image_config.check(params, image=image)
    _check_numbers(params)
    check_words("Handler", (params.get("Handler", ""),))
    runtime = params.get("Runtime")
    if runtime is not None:
        check_runtime(runtime)
    after = replace(
        before,
        role=params.get("Role", before.role),
        runtime=before.runtime if runtime is None else runtime,
        handler=params.get("Handler", before.handler),
        description=params.get("Description", before.description),
        timeout_s=params.get("Timeout", before.timeout_s),
        memory_mib=params.get("MemorySize", before.memory_mib),
        ephemeral_mib=params.get("EphemeralStorage", {}).get("Size", before.ephemeral_mib),
        variables=_variables(before.variables, params.get("Environment")),
        tracing_mode=params.get("TracingConfig", {}).get("Mode", before.tracing_mode),
        logging=_logging(before.logging, params.get("LoggingConfig")),
        snap_start=params.get("SnapStart", {}).get("ApplyOn", before.snap_start),
        stored=image_config.store(_stored(before.stored, params), params),
        # Variables that can not be read stay as they are, until there are others.
        unreadable=before.unreadable if params.get("Environment") is None else None,
    )
    _check_snap_start(after, snap_start_runtimes, image=image)
    return after


def not_yet(what: str) -> NotImplementedException:
    return NotImplementedException(f"{what} is not supported by Lambent yet: see docs/compatibility.md.")


def check_runtime(runtime: str) -> None:
    if runtime in RETIRED_RUNTIMES:
        raise InvalidParameterValueException(
            f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda "
            "functions. We recommend you use a supported runtime while creating or updating functions."
        )
    if runtime not in RUNTIMES:
        raise InvalidParameterValueException(
            f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
            f"[{', '.join(sorted(RUNTIMES))}] or be a valid ARN"
        )


def check_tags(tags: Mapping[str, str]) -> dict[str, str]:
    if len(tags) > TAGS_PER_RESOURCE:
        raise InvalidParameterValueException("Number of tags exceeds resource tag limit.")
    if any(key.lower().startswith("aws:") for key in tags):
        raise InvalidParameterValueException("Tag keys that begin with aws: are reserved.")
    return dict(tags)


def _refuse_what_is_not_built(params: Params) -> None:
    for member in NOT_YET:
        if params.get(member):
            raise not_yet(member)


def _check_numbers(params: Params) -> None:
    """The model's maxima are those of functions on capacity providers."""
    given = (
        ("timeout", params.get("Timeout"), TIMEOUT_S_MAX),
        ("memorySize", params.get("MemorySize"), MEMORY_MIB_MAX),
        ("ephemeralStorage.size", params.get("EphemeralStorage", {}).get("Size"), EPHEMERAL_MIB_MAX),
    )
    broken = [
        f"Value '{value}' at '{where}' failed to satisfy constraint: "
        f"Member must have value less than or equal to {maximum}"
        for where, value, maximum in given
        if value is not None and value > maximum
    ]
    if broken:
        noun = "error" if len(broken) == 1 else "errors"
        raise ValidationException(f"{len(broken)} validation {noun} detected: {'; '.join(broken)}")


def _check_snap_start(configuration: Configuration, runtimes: Collection[str], *, image: bool) -> None:
    """What an image holds nobody can tell before it runs."""
    if configuration.snap_start == NO_SNAP_START:
        return
    if not image and configuration.runtime not in runtimes:
        raise InvalidParameterValueException(
            f"{configuration.runtime} is not supported for SnapStart enabled functions."
        )
    if configuration.ephemeral_mib > SNAP_START_EPHEMERAL_MIB_MAX:
        raise InvalidParameterValueException(
            f"Ephemeral storage larger than {SNAP_START_EPHEMERAL_MIB_MAX} MB is not supported for SnapStart enabled "
            "functions."
        )
    if "FileSystemConfigs" in configuration.stored:
        raise InvalidParameterValueException("File systems are not supported for SnapStart enabled functions.")
    if configuration.tenant_isolation_mode is not None:
        raise InvalidParameterValueException("Tenant isolation is not supported for SnapStart enabled functions.")


def _variables(before: dict[str, str] | None, environment: Params | None) -> dict[str, str] | None:
    if environment is None:
        return before
    variables: dict[str, str] = dict(environment.get("Variables") or {})
    reserved = sorted(variables.keys() & RESERVED_VARIABLES)
    if reserved:
        raise InvalidParameterValueException(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            "provided contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    check_words("Environment variables", variables.values())
    measured = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode()) > ENVIRONMENT_BYTES:
        raise InvalidParameterValueException(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided exceeded the 4KB limit. String measured: {measured}"
        )
    return variables


def _logging(before: Logging, given: Params | None) -> Logging:
    if given is None:
        return before
    log_format = given.get("LogFormat", before.log_format)
    log_group = given.get("LogGroup", before.log_group)
    if log_format == "Text":
        if "ApplicationLogLevel" in given or "SystemLogLevel" in given:
            raise InvalidParameterValueException(
                "Log Level is not supported when LogFormat is set to Text. "
                "Remove log level from your request or change the LogFormat to JSON and try again."
            )
        return Logging(log_group)
    return Logging(
        log_group,
        log_format,
        given.get("ApplicationLogLevel", before.application_level or "INFO"),
        given.get("SystemLogLevel", before.system_level or "INFO"),
    )


def _stored(before: dict[str, object], params: Params) -> dict[str, object]:
    """The members that are kept and returned only, in the form in which they are returned."""
    stored = dict(before)
    vpc = params.get("VpcConfig")
    if vpc is not None:
        _store_vpc(stored, vpc)
    _store_file_systems(stored, params.get("FileSystemConfigs"))
    queue = params.get("DeadLetterConfig")
    if queue is not None:
        target = queue.get("TargetArn")
        if target and not is_destination(target, DEAD_LETTER_TARGETS):
            raise InvalidParameterValueException(
                f"The target {target} is neither an SQS standard queue nor an SNS standard topic."
            )
        _set_or_clear(stored, "DeadLetterConfig", {"TargetArn": target} if target else None)
    key = params.get("KMSKeyArn")
    if key is not None:
        _set_or_clear(stored, "KMSKeyArn", key)
    return stored


def _store_vpc(stored: dict[str, object], vpc: Params) -> None:
    subnets = list(vpc.get("SubnetIds") or ())
    groups = list(vpc.get("SecurityGroupIds") or ())
    if bool(subnets) != bool(groups):
        raise InvalidParameterValueException("SubnetIds and SecurityIds must coexist or be both empty list.")
    if not subnets and "VpcConfig" not in stored:
        return
    stored["VpcConfig"] = {
        "SubnetIds": subnets,
        "SecurityGroupIds": groups,
        # Which VPC the subnets are in is known to EC2 alone.
        "VpcId": "",
        "Ipv6AllowedForDualStack": bool(subnets and vpc.get("Ipv6AllowedForDualStack")),
    }


def _store_file_systems(stored: dict[str, object], given: Sequence[Params] | None) -> None:
    """An access point is reached through a VPC: neither is it named without one, nor is the VPC left while it is."""
    if given is not None:
        _set_or_clear(stored, "FileSystemConfigs", [dict(file_system) for file_system in given])
    file_systems = cast("list[Params]", stored.get("FileSystemConfigs", []))
    vpc = cast("Params", stored.get("VpcConfig", {}))
    if not file_systems or vpc.get("SubnetIds"):
        return
    access_point = file_systems[0]["Arn"]
    if given:
        raise InvalidParameterValueException(
            f"Function must be configured to execute in a VPC to reference access point {access_point}."
        )
    raise InvalidParameterValueException(
        f"Function VPC configuration cannot be removed with access point {access_point} referenced."
    )


def _set_or_clear(stored: dict[str, object], member: str, value: object) -> None:
    if value:
        stored[member] = value
    else:
        stored.pop(member, None)
