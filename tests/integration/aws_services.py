"""AWS's services beside Lambda, as real servers in processes of their own (`tests/prerequisites` installs them).

S3, SNS and EventBridge are one program, with an SQS behind the latter two that is read to see what they were sent.
Queues that Lambent itself sends to are those of another, written for nothing else.
"""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ROOT / ".aws-services" / "bin" / "moto_server"
QUEUES = ROOT / ".sqs-server"


@dataclass(frozen=True)
class AwsServices:
    """A server of one or of several services."""

    url: str

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="owner",
            aws_secret_access_key="secret",
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )


@contextlib.contextmanager
def aws_services(directory: Path) -> Iterator[AwsServices]:
    """S3, SNS and EventBridge, empty. Skips the test where the program is not installed."""
    if not SERVICES.exists():
        pytest.skip("the AWS services are not installed: tests/prerequisites says why")
    port = free_port()
    with _running([str(SERVICES), "-H", "127.0.0.1", "-p", str(port)], port, directory / "services.log"):
        yield AwsServices(f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def sqs_server(directory: Path) -> Iterator[AwsServices]:
    """SQS, empty. Skips the test where the program or Java is not installed."""
    if not QUEUES.exists() or shutil.which("java") is None:
        pytest.skip("the SQS server is not installed: tests/prerequisites says why")
    port = free_port()
    settings = {
        "rest-sqs.bind-hostname": "127.0.0.1",
        "rest-sqs.bind-port": port,
        "node-address.host": "127.0.0.1",
        "node-address.port": port,
        "rest-stats.enabled": "false",
    }
    # Few queues and a short life: no second compiler and no threads for its garbage.
    java = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m"]
    java += [f"-D{name}={value}" for name, value in settings.items()]
    with _running([*java, "-cp", f"{QUEUES}/*", "org.elasticmq.server.Main"], port, directory / "queues.log"):
        yield AwsServices(f"http://127.0.0.1:{port}")


def settings_of(services: AwsServices, queues: AwsServices) -> list[str]:
    """The flags of a server that delivers to these."""
    urls = {"s3": services.url, "sns": services.url, "events": services.url, "sqs": queues.url}
    flags = []
    for service, url in urls.items():
        flags += [f"--{service}-endpoint", url]
        # They tell by the signature which service is meant.
        flags += [f"--{service}-access-key-id", "owner", f"--{service}-secret-access-key", "secret"]
    return flags


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _running(command: list[str], port: int, log_file: Path) -> Iterator[None]:
    with open(log_file, "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            _wait_for(port, process)
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    # Another program's readiness can be asked for only.
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        assert process.poll() is None, "the server has ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError("the server does not listen")
