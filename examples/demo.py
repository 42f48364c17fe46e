"""`make demo`: starts Lambent, deploys the examples through the `lambent` command, runs them, and shows what they did.

It uses a server of its own, on a free port and a data directory that is removed at the end.
"""

import base64
import json
import os
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import boto3
from botocore.config import Config

EXAMPLES = Path(__file__).resolve().parent
RESULT = EXAMPLES.parent / "build" / "demo" / "thumbnail.jpg"
PHOTOGRAPH = EXAMPLES / "photographs" / "temple.jpg"
WARM_INVOCATIONS = 20
READY_WITHIN_S = 60

REGION = "us-east-1"
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
TEXTS = ("to be or not to be", "all the world is a stage", "the rest is silence")


@dataclass(frozen=True)
class Example:
    """A function to deploy and run: `show` puts its answer in a sentence."""

    name: str
    about: str
    event: dict
    show: Callable[[dict], str]
    options: Sequence[str] = field(default=())


def main() -> int:
    colour = sys.stdout.isatty()
    began = time.monotonic()
    with server() as endpoint:
        say(f"Lambent is ready on {endpoint} after {time.monotonic() - began:.1f} s", "1", colour)
        client = boto3.client("lambda", endpoint_url=endpoint, region_name=REGION, config=Config(retries=None), **KEYS)
        print("The first function of a language takes a while to deploy: its client and AWS SDK are installed once.")
        for example in examples():
            print()
            say(f"{example.name}: {example.about}", "1", colour)
            run_example(client, endpoint, example, colour)
        print()
        for name in reversed([example.name for example in examples()]):
            lambent("delete", name, endpoint=endpoint)
    say(f"All done in {time.monotonic() - began:.0f} s; the server is stopped and its data removed.", "1", colour)
    print("Next: `.venv/bin/lambent serve`, and README.md for a minute with it.")
    return 0


def examples() -> list[Example]:
    photograph = PHOTOGRAPH.read_bytes()
    return [
        Example(
            "thumbnail",
            "Python, with Pillow from its requirements.txt, makes a photograph small",
            {"image": base64.b64encode(photograph).decode(), "width": 240, "height": 240},
            lambda answer: show_thumbnail(answer, len(photograph)),
            ("--memory", "512", "--timeout", "20"),
        ),
        Example(
            "hello-node",
            "Node.js, asks Lambent about itself through the AWS SDK that it did not bundle",
            {"name": "Ada"},
            lambda answer: f"{answer['greeting']} (Node.js {answer['node']}, {answer['memory']} MB)",
            ("--memory", "512", "--timeout", "20"),
        ),
        Example(
            "wordcount-shell",
            "a custom runtime in bash",
            {"text": " ".join(TEXTS)},
            lambda answer: f"{answer['words']} words, {answer['times']} times {answer['most_common']!r}",
            ("--timeout", "20"),
        ),
        Example(
            "fan-out",
            "Python, calls wordcount-shell for each of three texts at once, by boto3 with no arguments",
            {"texts": TEXTS},
            lambda answer: f"{' + '.join(map(str, answer['counts']))} = {answer['total']} words",
            ("--memory", "512", "--timeout", "20", "--env", "COUNTER=wordcount-shell"),
        ),
    ]


def run_example(client, endpoint: str, example: Example, colour: bool) -> None:
    began = time.monotonic()
    configuration = json.loads(
        lambent("deploy", str(EXAMPLES / example.name), *example.options, "--json", endpoint=endpoint)
    )
    size_kb = configuration["CodeSize"] / 1024
    print(f"  deployed  {configuration['Runtime']}, {size_kb:,.0f} KB, in {time.monotonic() - began:.1f} s")
    answer, cold_ms, log = invoke(client, example)
    warm_ms = [invoke(client, example)[1] for _ in range(WARM_INVOCATIONS)]
    print(f"  answered  {example.show(answer)}")
    say(f"  took      cold {cold_ms:.1f} ms, warm {statistics.median(warm_ms):.1f} ms", "32", colour)
    for line in log.splitlines():
        say(f"  | {line.replace(chr(9), '  ').rstrip()}", "2", colour)


def invoke(client, example: Example) -> tuple[dict, float, str]:
    """One invocation: the answer, how long the caller waited in milliseconds, and the end of the log."""
    event = json.dumps(example.event).encode()
    began = time.perf_counter()
    response = client.invoke(FunctionName=example.name, Payload=event, LogType="Tail")
    payload = response["Payload"].read()
    took_ms = (time.perf_counter() - began) * 1000
    log = base64.b64decode(response["LogResult"]).decode(errors="replace")
    if "FunctionError" in response:
        sys.exit(f"{example.name} answered with an error: {payload.decode()}\n{log}")
    return json.loads(payload), took_ms, log


def show_thumbnail(answer: dict, bytes_before: int) -> str:
    small = base64.b64decode(answer["thumbnail"])
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_bytes(small)
    before = "{} x {}".format(*answer["original"])
    after = f"{answer['width']} x {answer['height']}"
    return f"{before}, {bytes_before:,} bytes -> {after}, {len(small):,} bytes: {os.path.relpath(RESULT)}"


def lambent(*words: str, endpoint: str) -> str:
    """Run the `lambent` command; what it prints on standard output."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    finished = subprocess.run(
        [sys.executable, "-m", "lambent", *words, "--endpoint", endpoint, "--region", REGION],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        sys.exit(f"lambent {' '.join(words)} failed:\n{finished.stderr}")
    return finished.stdout


@contextmanager
def server() -> Iterator[str]:
    """A running server, by its address. What it says while it starts and stops goes to standard error as it comes."""
    data = tempfile.mkdtemp(prefix="lambent-demo-", dir="/var/tmp")
    print("Starting Lambent ...", flush=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "lambent", "serve", "--port", "0", "--data-dir", data],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        said, _, _ = select.select([process.stdout], [], [], READY_WITHIN_S)
        line = process.stdout.readline() if said else ""
        address = next((word for word in line.split() if word.startswith("http://")), None)
        if address is None:
            sys.exit(f"the server did not become ready within {READY_WITHIN_S} s, or ended: {line}")
        yield address.rstrip("/.,")
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(data, ignore_errors=True)


def say(text: str, style: str, colour: bool) -> None:
    print(f"\x1b[{style}m{text}\x1b[0m" if colour else text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
