"""The trials of the Runtime API that one function makes at the cost of others, where the shared server does not run
them: in containers, and as an ordinary user."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import test_function_faults as faults
import test_hostile_runtime as runtime
from live_functions import PYTHON
from test_functions_in_containers import flags

from lambent.settings import Settings
from lambent.worker.runtimes.catalog import Runtimes
from sandbox_drivers import oci_runtime

PLACES = [f"{driver}-{user}" for driver in ("namespaces", "oci") for user in ("root", "ordinary")]
SHARED = f"namespaces-{'root' if os.geteuid() == 0 else 'ordinary'}"


@pytest.fixture(scope="module", params=[place for place in PLACES if place != SHARED])
def server(new_server: Any, request: Any) -> Iterator[Any]:
    driver, user = request.param.split("-")
    if user == "root" and os.geteuid() != 0:
        pytest.skip("not started as root")
    if driver == "oci" and not oci_runtime("crun"):
        pytest.skip("crun is not here, and `make prerequisites` could not get it")
    asyncio.run(Runtimes(Settings().runtimes_dir).prepare(PYTHON))
    arguments = flags(oci_runtime("crun")) if driver == "oci" else ()
    with new_server(*arguments, ordinary=user == "ordinary") as running:
        yield running


hostile, faulty = runtime.hostile, faults.faulty

test_answers_for_another = runtime.test_a_response_to_an_invocation_of_another_function_reaches_nobody
test_answers_for_an_earlier_one = runtime.test_a_late_response_never_reaches_the_next_caller
test_requests_without_end = runtime.test_requests_without_end_take_the_connections_of_their_own_environment_alone
test_a_flood_of_output = faults.test_a_flood_of_output_slows_the_function_and_loses_no_answer


def test_control_the_server_is_that_users(server: Any, request: Any) -> None:
    is_root = Path(f"/proc/{server.process.pid}").stat().st_uid == 0
    assert is_root == request.node.callspec.params["server"].endswith("-root")
