"""boto3's waiters after every kind of change: they end, and what they promise is so.

`function_active` and `function_updated` with their newer forms, `function_exists` and `published_version_active`.
"""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import botocore.exceptions
import pytest
from lambda_api import clients, make_function, role_of, settle, unique, zipped

ACCOUNT = "777788889999"
QUICK = {"Delay": 0.02, "MaxAttempts": 1500}
ACTIVE = ("function_active", "function_active_v2", "published_version_active")
UPDATED = ("function_updated", "function_updated_v2")
WAITERS = (*ACTIVE, *UPDATED, "function_exists")
IMAGE = "111122223333.dkr.ecr.us-east-1.amazonaws.com/made:latest"


def code(word: str) -> bytes:
    return zipped(
        f"import os\ndef handler(event, context):\n    return ['{word}', os.environ.get('WORD'), "
        "context.function_version, context.memory_limit_in_mb]\n"
    )


@dataclass
class Change:
    """A change that was made, of what a qualifier names, and what an invocation answers from then on."""

    answer: list[str | None]
    named: dict[str, str] = field(default_factory=dict)


def created(api: Any, name: str, **members: Any) -> None:
    api.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=role_of(ACCOUNT),
        Handler="app.handler",
        Code={"ZipFile": code("first")},
        **members,
    )


def there(api: Any, name: str, **members: Any) -> None:
    created(api, name, **members)
    settle(api, name)


def create(api: Any, name: str) -> Change:
    created(api, name)
    return Change(["first", None, "$LATEST", "128"])


def create_and_publish(api: Any, name: str) -> Change:
    created(api, name, Publish=True)
    return Change(["first", None, "1", "128"], {"Qualifier": "1"})


def create_with_a_layer(api: Any, name: str) -> Change:
    layer = api.publish_layer_version(LayerName=name, Content={"ZipFile": zipped()})["LayerVersionArn"]
    created(api, name, Layers=[layer])
    return Change(["first", None, "$LATEST", "128"])


def update_code(api: Any, name: str) -> Change:
    there(api, name)
    api.update_function_code(FunctionName=name, ZipFile=code("second"))
    return Change(["second", None, "$LATEST", "128"])


def update_code_and_publish(api: Any, name: str) -> Change:
    there(api, name, Publish=True)
    api.update_function_code(FunctionName=name, ZipFile=code("second"), Publish=True)
    return Change(["second", None, "2", "128"], {"Qualifier": "2"})


def update_configuration(api: Any, name: str) -> Change:
    there(api, name)
    api.update_function_configuration(FunctionName=name, MemorySize=192, Environment={"Variables": {"WORD": "new"}})
    return Change(["first", "new", "$LATEST", "192"])


def publish(api: Any, name: str) -> Change:
    there(api, name)
    version = api.publish_version(FunctionName=name)["Version"]
    return Change(["first", None, "1", "128"], {"Qualifier": version})


def create_alias(api: Any, name: str) -> Change:
    there(api, name, Publish=True)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    return Change(["first", None, "1", "128"], {"Qualifier": "live"})


def update_alias(api: Any, name: str) -> Change:
    there(api, name, Publish=True)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    api.update_function_code(FunctionName=name, ZipFile=code("second"), Publish=True)
    api.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    return Change(["second", None, "2", "128"], {"Qualifier": "live"})


def provision(api: Any, name: str) -> Change:
    there(api, name, Publish=True)
    api.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
    return Change(["first", None, "1", "128"], {"Qualifier": "1"})


def reserve(api: Any, name: str) -> Change:
    there(api, name)
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    return Change(["first", None, "$LATEST", "128"])


def tag(api: Any, name: str) -> Change:
    there(api, name)
    api.tag_resource(Resource=api.get_function(FunctionName=name)["Configuration"]["FunctionArn"], Tags={"a": "b"})
    return Change(["first", None, "$LATEST", "128"])


def delete_and_create_again(api: Any, name: str) -> Change:
    there(api, name, MemorySize=192)
    api.delete_function(FunctionName=name)
    created(api, name)
    return Change(["first", None, "$LATEST", "128"])


CHANGES = (
    create,
    create_and_publish,
    create_with_a_layer,
    update_code,
    update_code_and_publish,
    update_configuration,
    publish,
    create_alias,
    update_alias,
    provision,
    reserve,
    tag,
    delete_and_create_again,
)


@pytest.fixture(scope="module")
def own(server: Any) -> Any:
    """A client of an account that no other test claims concurrency in."""
    return clients(server, account=ACCOUNT)


@pytest.fixture
def name(own: Any) -> Iterator[str]:
    made = unique("awaited")
    yield made
    own.delete_function(FunctionName=made)


@pytest.mark.parametrize("waiter", WAITERS)
@pytest.mark.parametrize("change", CHANGES)
def test_every_waiter_ends_after_every_change(
    own: Any, name: str, change: Callable[[Any, str], Change], waiter: str
) -> None:
    made = change(own, name)
    own.get_waiter(waiter).wait(FunctionName=name, **made.named, WaiterConfig=QUICK)
    found = own.get_function(FunctionName=name, **made.named)["Configuration"]
    if waiter in ACTIVE:
        assert found["State"] == "Active"
    if waiter in UPDATED:
        assert found["LastUpdateStatus"] == "Successful"
        answer = json.loads(own.invoke(FunctionName=name, **made.named)["Payload"].read())
        assert answer == made.answer


@pytest.mark.parametrize("waiter", [*ACTIVE, *UPDATED])
def test_a_waiter_tells_of_what_can_not_be_run(own: Any, name: str, waiter: str) -> None:
    own.create_function(FunctionName=name, Role=role_of(ACCOUNT), PackageType="Image", Code={"ImageUri": IMAGE})
    with pytest.raises(botocore.exceptions.WaiterError, match="terminal failure state"):
        own.get_waiter(waiter).wait(FunctionName=name, WaiterConfig=QUICK)


def test_a_function_is_awaited_before_it_is_there(server: Any, own: Any, name: str) -> None:
    asked_in_vain = threading.Event()
    waiting = clients(server, account=ACCOUNT)
    waiting.meta.events.register("after-call.lambda.GetFunction", lambda **_: asked_in_vain.set())
    with ThreadPoolExecutor(1) as waiter:
        done = waiter.submit(waiting.get_waiter("function_exists").wait, FunctionName=name, WaiterConfig=QUICK)
        assert asked_in_vain.wait(60)
        assert not done.done()
        created(own, name)
        done.result(60)


def test_a_deleted_function_does_not_exist(own: Any) -> None:
    name = unique("awaited")
    make_function(own, name)
    own.delete_function(FunctionName=name)
    with pytest.raises(botocore.exceptions.WaiterError, match="Max attempts exceeded"):
        own.get_waiter("function_exists").wait(FunctionName=name, WaiterConfig={"Delay": 0.01, "MaxAttempts": 3})
