"""What `lambent doctor` tells of the services that the settings name, which are real ones."""

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_services import AwsServices, aws_services, free_port, settings_of

ACCOUNT = "111122223333"
TITLES = ("S3", "SQS", "SNS", "EventBridge")
KEYS = ("--s3-access-key-id", "owner", "--s3-secret-access-key", "secret")


class NoService(http.server.BaseHTTPRequestHandler):
    """Something else that listens there: a page for everybody, or an error."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "/failing" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html><p>Welcome!</html>")

    do_POST = do_GET  # noqa: N815

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsServices]:
    with aws_services(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="module")
def no_service() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NoService) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def told(directory: Path, *arguments: str) -> dict[str, dict[str, str]]:
    """The findings about services, by subject."""
    words = ["doctor", "--json", "--port", "0", "--sandbox", "process", "--data-dir", str(directory)]
    ran = subprocess.run(
        [sys.executable, "-m", "lambent", *words, *arguments], stdout=subprocess.PIPE, check=True, timeout=120
    )
    findings = json.loads(ran.stdout)
    return {finding["subject"]: finding for finding in findings if finding["subject"].split()[0] in TITLES}


def test_an_s3_that_answers_is_good_with_credentials_and_without(tmp_path: Path, s3: AwsServices) -> None:
    (found,) = told(tmp_path, "--s3-endpoint", s3.url, *KEYS).values()
    assert (found["subject"], found["grade"]) == (f"S3 {s3.url}", "good")
    assert found["detail"] == "answers, takes the credentials"
    (unsigned,) = told(tmp_path, "--s3-endpoint", s3.url).values()
    assert (unsigned["grade"], unsigned["detail"]) == ("good", "answers, requests are not signed")
    assert told(tmp_path) == {}


def test_credentials_that_s3_does_not_know_are_told(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INITIAL_NO_AUTH_ACTION_COUNT", "0")
    with aws_services(tmp_path_factory.mktemp("strict")) as strict:
        (found,) = told(tmp_path, "--s3-endpoint", strict.url, *KEYS).values()
    assert (found["grade"], found["detail"]) == ("limited", "it does not take the credentials: InvalidAccessKeyId")
    assert "secret" not in json.dumps(found)


@pytest.mark.parametrize("path", ["", "/failing"])
def test_what_is_no_service_is_told(tmp_path: Path, no_service: str, path: str) -> None:
    (found,) = told(tmp_path, "--s3-endpoint", no_service + path, *KEYS).values()
    assert found["grade"] == "limited"
    assert found["detail"].startswith("it does not answer as S3 does")


def test_every_accounts_own_s3_is_looked_at(tmp_path: Path, s3: AwsServices) -> None:
    silent = f"http://127.0.0.1:{free_port()}"
    config = tmp_path / "lambent.toml"
    config.write_text(
        f's3_endpoint = "{s3.url}"\n[accounts.{ACCOUNT}]\ns3_endpoint = "{silent}"\n'
        '[accounts.444455556666]\ns3_endpoint = ""\n'
    )
    found = told(tmp_path, "--config", str(config))
    assert {subject: finding["grade"] for subject, finding in found.items()} == {
        f"S3 {s3.url}": "good",
        f"S3 {silent} of account {ACCOUNT}": "limited",
    }
    of_account = found[f"S3 {silent} of account {ACCOUNT}"]
    assert of_account["detail"].startswith("it does not answer: ")
    assert f"[accounts.{ACCOUNT}]" in of_account["mend"]


def test_every_service_is_looked_at_and_a_page_is_taken_for_none(
    tmp_path: Path, s3: AwsServices, no_service: str
) -> None:
    config = tmp_path / "lambent.toml"
    own = [f'{service}_endpoint = "{no_service}"' for service in ("s3", "sqs", "sns", "events")]
    config.write_text("\n".join((f"[accounts.{ACCOUNT}]", *own)))
    found = told(tmp_path, *settings_of(s3, s3), "--config", str(config))
    grades = {subject: (finding["grade"], finding["detail"].split(":")[0]) for subject, finding in found.items()}
    assert grades == {f"{title} {s3.url}": ("good", "answers, takes the credentials") for title in TITLES} | {
        f"{title} {no_service} of account {ACCOUNT}": ("limited", f"it does not answer as {title} does")
        for title in TITLES
    }
