"""What `lambent doctor` tells of the S3s that the settings name, which are real ones."""

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from s3_server import S3Server, free_port, s3_server

ACCOUNT = "111122223333"
KEYS = ("--s3-access-key-id", "owner", "--s3-secret-access-key", "secret")


class NoS3(http.server.BaseHTTPRequestHandler):
    """Something else that listens there: a page for everybody, or an error."""

    def do_GET(self) -> None:
        if "/failing" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html><p>Welcome!</html>")

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="module")
def no_s3() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NoS3) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def told(directory: Path, *arguments: str) -> dict[str, dict[str, str]]:
    """The findings about S3, by subject."""
    words = ["doctor", "--json", "--port", "0", "--sandbox", "process", "--data-dir", str(directory)]
    ran = subprocess.run(
        [sys.executable, "-m", "lambent", *words, *arguments], stdout=subprocess.PIPE, check=True, timeout=120
    )
    findings = json.loads(ran.stdout)
    return {finding["subject"]: finding for finding in findings if finding["subject"].startswith("S3 ")}


def test_an_s3_that_answers_is_good_with_credentials_and_without(tmp_path: Path, s3: S3Server) -> None:
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
    with s3_server(tmp_path_factory.mktemp("strict")) as strict:
        (found,) = told(tmp_path, "--s3-endpoint", strict.url, *KEYS).values()
    assert (found["grade"], found["detail"]) == ("limited", "it does not take the credentials: InvalidAccessKeyId")
    assert "secret" not in json.dumps(found)


@pytest.mark.parametrize("path", ["", "/failing"])
def test_what_is_no_s3_is_told(tmp_path: Path, no_s3: str, path: str) -> None:
    (found,) = told(tmp_path, "--s3-endpoint", no_s3 + path, *KEYS).values()
    assert found["grade"] == "limited"
    assert found["detail"].startswith("it does not answer as S3 does")


def test_every_accounts_own_s3_is_looked_at(tmp_path: Path, s3: S3Server) -> None:
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
