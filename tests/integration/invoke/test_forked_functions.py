"""What functions whose processes are forked from one have in common, and the setting that has none forked."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from live_functions import Function, Functions

TELLS = """
import os, random, ssl, uuid
def handler(event, context):
    return {
        "command": open("/proc/self/cmdline").read().split("\\0"),
        "hash": hash("of a text"),
        "drawn": [random.random(), ssl.RAND_bytes(8).hex(), str(uuid.uuid4()), os.urandom(8).hex()],
        "namespaces": [os.readlink(f"/proc/self/ns/{kind}") for kind in ("user", "mnt", "pid", "net", "ipc", "uts")],
    }
"""
FORKED = "/var/runtime/fork.py"


def told_by(made: list[Function]) -> list[dict[str, Any]]:
    """By an environment of each."""
    with ThreadPoolExecutor(len(made)) as callers:
        return [answer.document for answer in callers.map(lambda function: function.invoke({}), made)]


def test_two_that_are_forked_share_no_chance_and_no_namespace(functions: Functions) -> None:
    one, other = told_by([functions.create(TELLS), functions.create(TELLS)])
    assert FORKED in one["command"]
    assert one["hash"] == other["hash"], "they are not of one zygote"
    assert not set(map(str, one["drawn"])) & set(map(str, other["drawn"]))
    assert not set(one["namespaces"]) & set(other["namespaces"])


@pytest.mark.parametrize("ahead", [(), ("--preboot-memory-mib", "0")], ids=["booted ahead", "booted on demand"])
def test_none_is_forked_where_the_settings_say_so(new_server: Any, ahead: tuple[str, ...]) -> None:
    with new_server("--no-fork-functions", *ahead) as server:
        made = Functions(server.client("lambda"))
        one, other = told_by([made.create(TELLS), made.create(TELLS)])
        assert FORKED not in one["command"]
        assert one["hash"] != other["hash"]
        made.delete_all()
