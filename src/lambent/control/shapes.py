"""Records of versions in the form of the API's FunctionConfiguration: which members are there, and when."""

import base64
from datetime import UTC, datetime
from typing import Any

from lambent.core.arn import function_arn, runtime_version_arn
from lambent.core.errors import KMSNotFoundException
from lambent.core.function import FunctionVersion, Logging, Package, Status


def function_configuration(version: FunctionVersion, qualifier: str | None = None) -> dict[str, Any]:
    """The full form. `qualifier` is the one that the ARN shows: the caller's own, or none."""
    shape = listed_configuration(version, qualifier)
    _add_status(shape, "State", version.state)
    _add_status(shape, "LastUpdateStatus", version.last_update)
    if version.image is None:
        arn = runtime_version_arn(version.function.region, version.configuration.runtime)
        shape["RuntimeVersionConfig"] = {"RuntimeVersionArn": arn}
    return shape


def listed_configuration(version: FunctionVersion, qualifier: str | None = None) -> dict[str, Any]:
    """The form in lists: without states and the runtime's version."""
    configuration = version.configuration
    shape: dict[str, Any] = {
        "FunctionName": version.function.name,
        "FunctionArn": function_arn(version.function, qualifier),
        # None, and so not sent, of an image.
        "Runtime": configuration.runtime or None,
        "Role": configuration.role,
        "Handler": configuration.handler or None,
        "CodeSize": version.package.size,
        "Description": configuration.description,
        "Timeout": configuration.timeout_s,
        "MemorySize": configuration.memory_mib,
        "LastModified": last_modified(version.last_modified_ms),
        "CodeSha256": shown_sha256(version),
        "Version": version.version,
        "TracingConfig": {"Mode": configuration.tracing_mode},
        "RevisionId": version.revision_id,
        "PackageType": "Zip" if version.image is None else "Image",
        "Architectures": list(version.architectures),
        "EphemeralStorage": {"Size": configuration.ephemeral_mib},
        "SnapStart": {
            "ApplyOn": configuration.snap_start,
            "OptimizationStatus": "On" if version.snapshotted else "Off",
        },
        "LoggingConfig": _logging(configuration.logging),
        **configuration.stored,
    }
    if configuration.layers:
        shape["Layers"] = [{"Arn": layer.arn, "CodeSize": layer.package.size} for layer in configuration.layers]
    if configuration.tenant_isolation_mode is not None:
        shape["TenancyConfig"] = {"TenantIsolationMode": configuration.tenant_isolation_mode}
    if configuration.unreadable is not None:
        # API reference, EnvironmentResponse: Error stands for variables that could not be decrypted.
        error = {"ErrorCode": KMSNotFoundException.code, "Message": configuration.unreadable.message}
        shape["Environment"] = {"Error": error}
    elif configuration.variables is not None:
        shape["Environment"] = {"Variables": dict(configuration.variables)}
    return shape


def shown_sha256(version: FunctionVersion) -> str | None:
    """CodeSha256: of a package in base64, of an image in hexadecimal, where it is known."""
    return code_sha256(version.package) if version.image is None else version.image.digest


def code_sha256(package: Package) -> str:
    return base64.b64encode(bytes.fromhex(package.digest)).decode()


def last_modified(wall_ms: int) -> str:
    """`2026-01-31T12:00:00.123+0000`"""
    moment = datetime.fromtimestamp(wall_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{wall_ms % 1000:03}+0000"


def _logging(logging: Logging) -> dict[str, str]:
    shape = {"LogFormat": logging.log_format}
    if logging.application_level is not None:
        shape["ApplicationLogLevel"] = logging.application_level
    if logging.system_level is not None:
        shape["SystemLogLevel"] = logging.system_level
    shape["LogGroup"] = logging.log_group
    return shape


def _add_status(shape: dict[str, Any], member: str, status: Status | None) -> None:
    if status is None:
        return
    shape[member] = status.value
    if status.reason is not None:
        shape[member + "Reason"] = status.reason
    if status.reason_code is not None:
        shape[member + "ReasonCode"] = status.reason_code
