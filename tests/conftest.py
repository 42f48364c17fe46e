"""What tests of the running server share: one `lambent serve` for each test process, on a data directory on disk."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import hypothesis
import pytest

from lambent.settings import Settings
from lambent.testing import ordinary_user

hypothesis.settings.register_profile("lambent", deadline=None)  # a slow machine is no failure
hypothesis.settings.load_profile("lambent")

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/function"
READY = "Lambent is ready on "


@dataclass
class Server:
    """A `lambent serve` process and how to reach it. `arguments` are further flags, `executor` the beginning of a
    command that executes the server's."""

    data_dir: Path
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    executor: tuple[str, ...] = ()
    process: subprocess.Popen[str] = field(init=False)
    url: str = field(init=False)

    def start(self) -> "Server":
        """Start the process and wait until it accepts requests."""
        command = [sys.executable, "-m", "lambent", "serve", "--port", "0", "--data-dir", str(self.data_dir)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.executor, *command, *self.arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                text=True,
                env=os.environ | self.environment,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith(READY), f"the server did not start: {self.log.read_text()}"
        self.url = line[len(READY) :].split()[0]
        return self

    @property
    def log(self) -> Path:
        return self.data_dir.with_name(self.data_dir.name + ".log")

    def client(self, service: str, account: str = ACCOUNT, region: str = "us-east-1", **config: Any) -> Any:
        """A boto3 client of the account, without retries."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=account,
            aws_secret_access_key="test",
            config=botocore.config.Config(
                retries={"total_max_attempts": 1}, read_timeout=120, max_pool_connections=64, **config
            ),
        )

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def kill(self) -> None:
        """SIGKILL: the crash."""
        self.process.kill()
        self._ended()

    def _ended(self) -> int:
        code = self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def new_data_dir() -> Path:
    """A directory on disk: /tmp may be a tmpfs."""
    return Path(tempfile.mkdtemp(prefix="lambent-test-", dir="/var/tmp")) / "data"


def remove_data_dir(data_dir: Path) -> None:
    shutil.rmtree(data_dir.parent, ignore_errors=True)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    directory = new_data_dir()
    yield directory
    remove_data_dir(directory)


def of_an_ordinary_user(server: Server) -> Server:
    """Whoever we are. Root's kits of runtimes must have been made."""
    if os.geteuid() == 0:
        os.chown(server.data_dir.parent, ordinary_user.USER, ordinary_user.USER)
        server.executor = (sys.executable, "-m", ordinary_user.__name__)
        server.environment["XDG_CACHE_HOME"] = str(Settings().runtimes_dir.parents[1])
    return server


@contextmanager
def running_server(*arguments: str, ordinary: bool = False) -> Iterator[Server]:
    """A server on a directory of its own, which must leave well."""
    directory = new_data_dir()
    running = Server(directory, arguments)
    if ordinary:
        of_an_ordinary_user(running)
    running.start()
    try:
        yield running
    finally:
        code = running.stop()
        remove_data_dir(directory)
    assert code == 0


@pytest.fixture(scope="session")
def new_server() -> Callable[..., AbstractContextManager[Server]]:
    """For tests that share a server among themselves only."""
    return running_server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The server that tests share: it sandboxes with the default driver."""
    with running_server() as running:
        yield running
