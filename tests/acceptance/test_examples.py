"""The examples do what their pages say, and the demo shows it."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
JPEG = b"\xff\xd8\xff"

Lambent = Callable[..., Any]


@pytest.fixture
def lambent(clean_server: Any) -> Lambent:
    """Runs the `lambent` command; the document that it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAMBENT_"))}

    def run(*words: str, data: str = "", code: int = 0) -> Any:
        command = [sys.executable, "-m", "lambent", *words, "--endpoint", clean_server.url]
        done = subprocess.run(command, env=environment, input=data, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    return run


def test_thumbnail_makes_the_photograph_small(lambent: Lambent) -> None:
    lambent("deploy", str(EXAMPLES / "thumbnail"), "--memory", "256", "--timeout", "20", "--json")
    photograph = (EXAMPLES / "photographs" / "temple.jpg").read_bytes()
    event = {"image": base64.b64encode(photograph).decode(), "width": 200}
    answer = lambent("invoke", "thumbnail", "--data", "-", data=json.dumps(event))
    assert (answer["original"], answer["width"], answer["height"]) == ([640, 427], 200, 133)
    small = base64.b64decode(answer["thumbnail"])
    assert small.startswith(JPEG)
    assert len(small) < len(photograph) / 10


def test_hello_node_reaches_lambent_through_the_sdk_that_it_did_not_bundle(lambent: Lambent) -> None:
    lambent("deploy", str(EXAMPLES / "hello-node"), "--memory", "256", "--timeout", "20", "--json")
    answer = lambent("invoke", "hello-node", "--data", '{"name": "Ada"}')
    assert answer["greeting"] == "Hello, Ada!"
    assert (answer["handler"], answer["memory"]) == ("index.handler", 256)


def test_wordcount_shell_counts_and_refuses_what_it_can_not_count(lambent: Lambent) -> None:
    lambent("deploy", str(EXAMPLES / "wordcount-shell"), "--timeout", "20", "--json")
    event = {"text": 'the "quick"\nbrown fox é and the lazy dog'}
    answer = lambent("invoke", "wordcount-shell", "--data", json.dumps(event))
    assert answer == {"words": 9, "most_common": "the", "times": 2}
    refused = lambent("invoke", "wordcount-shell", "--data", '{"text": 7}', code=3)
    assert refused["errorType"] == "BadEvent"
    assert lambent("invoke", "wordcount-shell", "--data", '{"text": ""}')["words"] == 0


def test_fan_out_calls_another_function_as_its_own_account(lambent: Lambent) -> None:
    lambent("deploy", str(EXAMPLES / "wordcount-shell"), "--name", "counter", "--timeout", "20", "--json")
    options = ("--memory", "256", "--timeout", "30", "--env", "COUNTER=counter")
    lambent("deploy", str(EXAMPLES / "fan-out"), *options, "--json")
    answer = lambent("invoke", "fan-out", "--data", '{"texts": ["one", "one two", "one two three"]}')
    assert answer == {"counts": [1, 2, 3], "total": 6}


@pytest.mark.slow
def test_the_demo_shows_every_example_and_leaves_nothing_behind() -> None:
    before = set(Path("/var/tmp").glob("lambent-demo-*"))
    done = subprocess.run(
        [sys.executable, EXAMPLES / "demo.py"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "640 x 427, 196,653 bytes -> 240 x 160" in done.stdout
    assert "Hello, Ada!" in done.stdout
    assert "6 + 6 + 4 = 16 words" in done.stdout
    assert done.stdout.count("took      cold") == 4
    assert done.stdout.count("REPORT RequestId") == 4
    assert set(Path("/var/tmp").glob("lambent-demo-*")) - before == set()
