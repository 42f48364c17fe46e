"""Every constraint of the service model, broken once in a request that is valid else, and every valid request."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import botocore.session
import pytest
from botocore.model import OperationModel, Shape
from lambda_api import ARNS, Refusal, clients, invalid, not_found, refusal, shape, status
from lambda_constraints import Violation, message, of_operation
from lambda_requests import World, make, method, requests
from lambda_wire import ask, wired
from stored_state import StoredState, changes, stored_state

from lambent.control.operations import operations as control_operations
from lambent.invoke.operations import operations as invoke_operations

MODEL = botocore.session.get_session().get_service_model("lambda")
ANSWERED = sorted(control_operations(object()) | invoke_operations(object()))
"""What docs/compatibility.md says is answered, which a test of its own holds to this."""


@pytest.fixture(scope="module")
def own_server(new_server: Any) -> Iterator[Any]:
    """Nobody else changes what it has."""
    with new_server() as server:
        yield server


@pytest.fixture(scope="module")
def api(own_server: Any) -> Any:
    return clients(own_server)


@pytest.fixture(scope="module")
def world(api: Any) -> World:
    """What requests of this module name; they leave it as it is."""
    world = World()
    make(api, world)
    return world


@pytest.fixture
def stored(own_server: Any) -> Iterator[StoredState]:
    with stored_state(own_server.data_dir) as state:
        yield state


def test_there_is_a_request_for_every_operation() -> None:
    assert sorted(requests(World(), World())) == ANSWERED


@pytest.mark.parametrize("name", ANSWERED)
def test_each_broken_constraint_is_refused_in_awss_words_and_changes_nothing(
    name: str, own_server: Any, api: Any, world: World, stored: StoredState, subtests: Any
) -> None:
    operation = MODEL.operation_model(name)
    before = stored.at_rest()
    for violation in of_operation(operation, requests(world, World())[name]):
        with subtests.test(msg=violation.name):
            if violation.name.endswith(" null"):
                found = asked(own_server.url, operation, violation.value)
            else:
                found = refusal(getattr(api, method(name)), **violation.value)
            assert found == Refusal(400, "ValidationException", message(violation.texts), None)
            assert changes(before, stored.rows()) == {}


def asked(url: str, operation: OperationModel, params: dict[str, Any]) -> Refusal:
    """How the server refuses what boto3 can not send: a null in a list or a map."""
    answer = ask(url, wired(operation, params))
    return Refusal(answer.status, answer.code or "", answer.document["message"], answer.document.get("Type"))


@pytest.mark.parametrize("name", ANSWERED)
def test_an_empty_label_reaches_no_operation_that_changes_anything(
    name: str, own_server: Any, world: World, stored: StoredState, subtests: Any
) -> None:
    operation = MODEL.operation_model(name)
    before = stored.at_rest()
    valid = requests(world, World())[name]
    for member, label in operation.input_shape.members.items():
        if label.serialization.get("location") != "uri":
            continue
        with subtests.test(msg=member):
            request = wired(operation, {**valid, member: ""})
            answer = ask(own_server.url, request)
            if request.method == "GET" and request.path.endswith("/"):
                # Without the last label it is the path of a list, or of none.
                assert (answer.status, answer.code) in ((200, None), (404, "UnknownOperationException"))
            else:
                assert (answer.status, answer.code) == (404, "UnknownOperationException")
            assert changes(before, stored.rows()) == {}


def test_the_walk_goes_everywhere() -> None:
    found = {name: {each.name for each in broken_ones(name)} for name in ANSWERED}
    assert found["CreateFunction"] >= {
        "role required",
        "functionName max",
        "timeout min",
        "architectures min",
        "architectures element enum",
        "code.s3Bucket pattern",
        "vpcConfig.securityGroupIds element pattern",
        "vpcConfig.securityGroupIds element null",
        "environment.variables key pattern",
        "tags value max",
        "ephemeralStorage.size required",
        "fileSystemConfigs.1.member.localMountPath pattern",
        "capacityProviderConfig.lambdaManagedInstancesCapacityProviderConfig.executionEnvironmentMemoryGiBPerVCpu max",
    }
    assert "selfManagedEventSource.endpoints.KAFKA_BOOTSTRAP_SERVERS.member max" in found["CreateEventSourceMapping"]
    assert "logType enum" in found["Invoke"]
    assert found["UntagResource"] >= {"tagKeys required", "tagKeys element max", "resource pattern"}
    assert [name for name in ANSWERED if not found[name]] == ["GetAccountSettings"]


def broken_ones(name: str) -> Iterator[Violation]:
    return of_operation(MODEL.operation_model(name), requests(World(), World())[name])


# Where AWS does not answer with the model's constraint ----------------------------------------------------------------


def test_a_name_too_long_for_a_function_is_an_invalid_value_when_one_is_made(
    api: Any, world: World, stored: StoredState
) -> None:
    before = stored.at_rest()
    name = "f" * 65
    assert refusal(
        api.create_function, **{**requests(world, World())["CreateFunction"], "FunctionName": name}
    ) == invalid(
        f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: "
        "Member must have length less than or equal to 64"
    )
    assert changes(before, stored.rows()) == {}


@pytest.mark.parametrize("name", ["GetFunction", "GetFunctionConfiguration", "DeleteFunction"])
@pytest.mark.parametrize("length", [65, 257])
def test_a_name_too_long_for_a_function_is_not_found(name: str, length: int, api: Any) -> None:
    function = "f" * length
    assert refusal(getattr(api, method(name)), FunctionName=function) == not_found(
        f"Function not found: {ARNS}{function}"
    )


@pytest.mark.parametrize("name", ["CreateFunction", "UpdateFunctionConfiguration"])
def test_an_unknown_runtime_is_an_invalid_value(name: str, api: Any, world: World, stored: StoredState) -> None:
    before = stored.at_rest()
    found = refusal(getattr(api, method(name)), **{**requests(world, World())[name], "Runtime": "cobol85"})
    assert (found.status, found.code) == (400, "InvalidParameterValueException")
    assert found.message.startswith(
        "Value cobol85 at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: ["
    )
    assert found.message.endswith("] or be a valid ARN")
    assert changes(before, stored.rows()) == {}


# What is right --------------------------------------------------------------------------------------------------------


def test_every_answer_is_of_the_types_of_the_model(own_server: Any, stored: StoredState, subtests: Any) -> None:
    """Each request that the walk breaks is accepted as it is, and boto3 finds in the answer what the model has."""
    api = clients(own_server)
    bodies: list[bytes] = []
    api.meta.events.register("before-parse.lambda", lambda response_dict, **_: bodies.append(response_dict["body"]))
    at, new = World(), World()
    make(api, at)
    for name, params in requests(at, new).items():
        stored.at_rest()
        operation = MODEL.operation_model(name)
        bodies.clear()
        with subtests.test(msg=name):
            answer = getattr(api, method(name))(**params)
            assert status(answer) == successes(operation)
            output = operation.output_shape
            if output is None or not output.members:
                assert bodies == [b""]
                continue
            told = shape(answer)
            payload = output.serialization.get("payload")
            if payload is None:
                document = json.loads(bodies[0]) if bodies[0] else {}
                known = {of.serialization.get("name", member) for member, of in output.members.items()}
                assert document.keys() <= known, "what no SDK sees"
            else:
                told[payload] = told[payload].read()
            assert wrong_types(output, told, name) == []


def successes(operation: OperationModel) -> int:
    """AWS answers a deletion of a function without a body, whatever the model says."""
    return 204 if operation.name == "DeleteFunction" else int(operation.http["responseCode"])


BEYOND_THE_MODEL = {"LastUpdateStatusReasonCode": ("Creating",)}
"""What AWS answers although its model has it not. Source: observed answers of UpdateFunctionConfiguration."""

PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (float, int),
    "double": (float, int),
    "boolean": (bool,),
    "timestamp": (datetime,),
    "blob": (bytes,),
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
}


def wrong_types(of: Shape, value: Any, path: str) -> list[str]:
    """Where a value is not what the model says: its type, what it must have, what it may be."""
    if not isinstance(value, PYTHON_TYPES[of.type_name]) or (isinstance(value, bool) and of.type_name != "boolean"):
        return [f"{path} is {value!r} and not a {of.type_name}"]
    match of.type_name:
        case "structure":
            found = [f"{path} lacks {name}" for name in of.required_members if name not in value]
            for name, member in value.items():
                found += wrong_types(of.members[name], member, f"{path}.{name}")
            return found
        case "list":
            return [wrong for item in value for wrong in wrong_types(of.member, item, f"{path}[]")]
        case "map":
            return [wrong for item in value.values() for wrong in wrong_types(of.value, item, f"{path}{{}}")]
        case "string" if of.enum and value not in (*of.enum, *BEYOND_THE_MODEL.get(of.name, ())):
            return [f"{path} is {value!r}, which is none of {of.enum}"]
    return []
