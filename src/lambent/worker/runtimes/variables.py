"""The environment variables of a function's program: which there are, and who may override which.

Lowest to highest: what the platform sets and a customer may override, the customer's own, the credentials and all
that is reserved. Source: developer guide, "Using Lambda environment variables", "Defined runtime environment
variables"; of the order: the same rules as AWS's runtime interface emulator applies.
"""

from lambent.core.limits import RESERVED_VARIABLES
from lambent.worker.messages import SNAP_START, EnvironmentSpec
from lambent.worker.runtimes.launch import Launch
from lambent.worker.sandbox.driver import Addresses

OVERRIDABLE = frozenset(
    (
        "LANG", "LC_CTYPE", "PATH", "LD_LIBRARY_PATH", "TZ", "PWD", "SHLVL",
        "NODE_PATH", "NODE_OPTIONS", "NODE_EXTRA_CA_CERTS", "PYTHONPATH",
        "AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL",
        "AWS_XRAY_CONTEXT_MISSING", "AWS_XRAY_DAEMON_ADDRESS",
        "AWS_ENDPOINT_URL",
    )
)  # fmt: skip
"""Variables of the platform that give way to a customer's of the same name."""

_XRAY_ADDRESS = "169.254.100.1"
_XRAY_PORT = "2000"


def common_variables() -> dict[str, str]:
    """The runtime's part of the environment that every runtime has."""
    return {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PWD": "/var/task",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "LD_LIBRARY_PATH": (
            "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
        ),
    }


def managed_variables(runtime: str) -> dict[str, str]:
    """The part that every runtime has whose start program is the platform's and not the function's."""
    return {
        **common_variables(),
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
        "SHLVL": "0",
    }


def compose(spec: EnvironmentSpec, launch: Launch, addresses: Addresses) -> dict[str, str]:
    """The complete environment of the program, from nothing: none of the server's own is in it."""
    platform = {**_of_platform(spec, addresses), **launch.variables}
    customers = {
        name: value
        for name, value in spec.variables.items()
        if not name.startswith("_") and name not in RESERVED_VARIABLES
    }
    given_way = {name: value for name, value in platform.items() if name in OVERRIDABLE}
    reserved = {name: value for name, value in platform.items() if name not in OVERRIDABLE}
    return {**given_way, **customers, **reserved}


def _of_platform(spec: EnvironmentSpec, addresses: Addresses) -> dict[str, str]:
    variables = {
        "_HANDLER": spec.handler,
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "AWS_REGION": spec.region,
        "AWS_DEFAULT_REGION": spec.region,
        "AWS_ENDPOINT_URL": f"http://{addresses.endpoint}",
        "AWS_LAMBDA_RUNTIME_API": addresses.runtime_api,
        "AWS_LAMBDA_FUNCTION_NAME": spec.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": spec.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mib),
        "AWS_LAMBDA_INITIALIZATION_TYPE": spec.initialization_type,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": f"{_XRAY_ADDRESS}:{_XRAY_PORT}",
        "_AWS_XRAY_DAEMON_ADDRESS": _XRAY_ADDRESS,
        "_AWS_XRAY_DAEMON_PORT": _XRAY_PORT,
    }
    if spec.initialization_type != SNAP_START:
        # Of a program that others are copied from, these would be another environment's.
        variables["AWS_LAMBDA_LOG_GROUP_NAME"] = spec.log_group
        variables["AWS_LAMBDA_LOG_STREAM_NAME"] = spec.log_stream
    if spec.credentials.authorization:
        variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"http://{addresses.runtime_api}/2021-04-23/credentials"
        variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = spec.credentials.authorization
    else:
        variables["AWS_ACCESS_KEY_ID"] = spec.credentials.access_key_id
        variables["AWS_SECRET_ACCESS_KEY"] = spec.credentials.secret_access_key
        variables["AWS_SESSION_TOKEN"] = spec.credentials.session_token
    if spec.log_format == "JSON":
        variables["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
    if spec.application_log_level is not None:
        variables["AWS_LAMBDA_LOG_LEVEL"] = spec.application_log_level
    return variables
