"""The environment of a function's program, against the table of AWS's developer guide."""

import pytest
from msgspec.structs import replace

from lambent.core.credentials import Credentials
from lambent.core.limits import RESERVED_VARIABLES
from lambent.worker.messages import EnvironmentSpec
from lambent.worker.runtimes.launch import Launch
from lambent.worker.runtimes.variables import OVERRIDABLE, common_variables, compose, managed_variables
from lambent.worker.sandbox.driver import Addresses, Template

SPEC = EnvironmentSpec(
    account="123456789012",
    region="eu-west-1",
    function_name="resize",
    version="7",
    runtime="python3.12",
    handler="app.handler",
    memory_mib=512,
    timeout_ms=3000,
    ephemeral_mib=512,
    package="00",
    variables={},
    credentials=Credentials("AKIDEXAMPLE", "secret", "token"),
    log_group="/aws/lambda/resize",
    log_stream="2026/01/01/[7]0123456789abcdef0123456789abcdef",
)
ADDRESSES = Addresses("127.0.0.1:9001", "127.0.0.1:4566")
MANAGED = Launch(Template(), (), managed_variables("python3.12") | {"PYTHONPATH": "/var/runtime"})


def composed(variables: dict[str, str], launch: Launch = MANAGED) -> dict[str, str]:
    return compose(replace(SPEC, variables=variables), launch, ADDRESSES)


def test_the_environment_is_the_tables_and_nothing_else() -> None:
    assert composed({}) == {
        "_HANDLER": "app.handler",
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_NAME": "resize",
        "AWS_LAMBDA_FUNCTION_VERSION": "7",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/resize",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[7]0123456789abcdef0123456789abcdef",
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1:2000",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": (
            "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
        ),
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "PWD": "/var/task",
        "PYTHONPATH": "/var/runtime",
        "SHLVL": "0",
        "TZ": ":UTC",
    }


@pytest.mark.parametrize("name", sorted(OVERRIDABLE))
def test_a_customer_overrides_what_the_table_lets_override(name: str) -> None:
    assert composed({name: "mine"})[name] == "mine"


@pytest.mark.parametrize("name", sorted(RESERVED_VARIABLES))
def test_a_customer_overrides_nothing_that_is_reserved(name: str) -> None:
    assert composed({name: "mine"}).get(name) != "mine"


def test_the_reserved_and_the_overridable_are_disjoint_and_cover_the_platforms() -> None:
    assert not OVERRIDABLE & RESERVED_VARIABLES
    assert composed({}).keys() <= OVERRIDABLE | RESERVED_VARIABLES


def test_a_customers_own_pass_except_those_that_start_with_an_underscore() -> None:
    environment = composed({"STAGE": "test", "_PRIVATE": "dropped"})
    assert environment["STAGE"] == "test"
    assert "_PRIVATE" not in environment


def test_a_program_that_is_its_own_runtime_is_told_of_no_runtime() -> None:
    environment = composed({"AWS_EXECUTION_ENV": "mine"}, Launch(Template(), (), common_variables()))
    assert "AWS_EXECUTION_ENV" not in environment
    assert "SHLVL" not in environment


def test_the_log_format_and_level_are_told_when_they_are_configured() -> None:
    environment = compose(replace(SPEC, log_format="JSON", application_log_level="WARN"), MANAGED, ADDRESSES)
    assert environment["AWS_LAMBDA_LOG_FORMAT"] == "JSON"
    assert environment["AWS_LAMBDA_LOG_LEVEL"] == "WARN"


def test_what_others_are_copied_from_knows_no_stream_and_asks_for_its_credentials() -> None:
    asking = Credentials("AKIDEXAMPLE", "secret", "token", authorization="0123")
    spec = replace(SPEC, initialization_type="snap-start", credentials=asking)
    variables = compose(spec, MANAGED, ADDRESSES)
    gone = {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
    }
    assert composed({}).keys() - variables.keys() == gone
    assert {name: variables[name] for name in variables.keys() - composed({}).keys()} == {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9001/2021-04-23/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "0123",
    }
    assert variables["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start"
