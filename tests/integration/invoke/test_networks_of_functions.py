"""Networks of functions, through boto3, on a server with a machine and an internet of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_functions import Functions, assert_booted_as_told, descendants, eventually

from lambent.testing import machines
from lambent.testing.machines import MACHINE, NAMESERVER, PORT, PRIVATE, PUBLIC, Machine

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the machine and the internet of these tests"),
    pytest.mark.skipif(not shutil.which("nft"), reason="nft is not installed"),
    pytest.mark.skipif(not shutil.which("ip"), reason="ip is not installed"),
]

SETTINGS = f"""
[networks.internet]
mode = "internet"
nameservers = ["{NAMESERVER}"]
functions = ["arn:aws:lambda:us-east-1:111122223333:function:crawler"]

[networks.database]
mode = "allow"
allow = ["{PRIVATE}:{PORT}"]
subnets = ["subnet-database"]
security_groups = ["sg-database"]
"""

REACHING = """
import socket
def handler(event, context):
    try:
        with socket.create_connection((event["host"], 8080), timeout=1.5) as connection:
            return connection.recv(99).decode()
    except OSError as error:
        return type(error).__name__
"""

CONFIGURATION = {"Timeout": 20}
DATABASE = {"SubnetIds": ["subnet-other", "subnet-database"], "SecurityGroupIds": ["sg-database"]}
NO_VPC: dict[str, list[str]] = {"SubnetIds": [], "SecurityGroupIds": []}


@pytest.fixture
def machine() -> Iterator[Machine]:
    with machines.machine() as made:
        for address in (PUBLIC, PRIVATE):
            made.serve_in_internet(address)
        made.serve_names(NAMESERVER)
        yield made


@pytest.fixture
def networked(server: Any, machine: Machine, data_dir: Path) -> Iterator[Any]:
    """A server on that machine. The shared one, which is elsewhere, only tells what a server is."""
    settings = data_dir.with_name("lambent.toml")
    settings.write_text(SETTINGS)
    made = type(server)(data_dir, (*server.arguments, "--config", str(settings))).start()
    try:
        yield made
        if made.process.poll() is None:
            assert_booted_as_told(made, server)
    finally:
        code = made.stop()
    assert code == 0


def test_a_function_gets_the_network_that_the_settings_have_for_it(networked: Any, machine: Machine) -> None:
    functions = Functions(networked.client("lambda"))
    plain = functions.create(REACHING, **CONFIGURATION)
    crawler = functions.create(REACHING, name="crawler", **CONFIGURATION)
    private = functions.create(REACHING, VpcConfig=DATABASE, **CONFIGURATION)
    assert [plain.invoke({"host": host}).document for host in (PUBLIC, PRIVATE, MACHINE)] == ["OSError"] * 3
    assert crawler.invoke({"host": "lambent.example"}).document == MACHINE
    assert crawler.invoke({"host": PRIVATE}).document == "OSError"
    assert private.invoke({"host": PRIVATE}).document == MACHINE
    assert private.invoke({"host": PUBLIC}).document == "OSError"


def test_a_function_that_leaves_its_vpc_leaves_its_network(networked: Any) -> None:
    function = Functions(networked.client("lambda")).create(REACHING, VpcConfig=DATABASE, **CONFIGURATION)
    assert function.invoke({"host": PRIVATE}).document == MACHINE
    function.update(VpcConfig=NO_VPC)
    assert function.invoke({"host": PRIVATE}).document == "OSError"
    function.update(VpcConfig=DATABASE)
    assert function.invoke({"host": PRIVATE}).document == MACHINE


def test_after_a_crash_of_everything_the_next_start_cleans(networked: Any, machine: Machine) -> None:
    before = machine.devices()
    function = Functions(networked.client("lambda")).create(REACHING, VpcConfig=DATABASE, **CONFIGURATION)
    assert function.invoke({"host": PRIVATE}).document == MACHINE
    everything = descendants(networked.process.pid)
    networked.process.send_signal(signal.SIGSTOP)  # it would start another launcher
    for process in everything[1:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    networked.kill()
    assert machine.forwards(), "the control: something is left"
    networked.start()
    assert (machine.devices(), machine.tables(), machine.forwards()) == (before, [], False)
    client = networked.client("lambda")
    assert eventually(lambda: type(function)(function.name, client).invoke({"host": PRIVATE}).document) == MACHINE
    assert networked.stop() == 0
    assert (machine.devices(), machine.tables(), machine.forwards()) == (before, [], False)


def test_a_server_with_networks_that_make_no_sense_says_so_and_does_not_start(data_dir: Path) -> None:
    settings = data_dir.parent / "lambent.toml"
    settings.write_text('[networks.database]\nmode = "allow"\nallow = ["db.example:5432"]\n')
    command = [sys.executable, "-m", "lambent", "serve", "--port", "0", "--config", str(settings)]
    done = subprocess.run([*command, "--data-dir", str(data_dir)], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert done.stderr.startswith("lambent: [networks.database]: 'db.example:5432' is not an IPv4 address or network")
