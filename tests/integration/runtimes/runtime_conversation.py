"""Runs real interpreters with the real runtime clients against a small Runtime API of the tests' own.

No sandbox: the paths of one are mapped into a temporary directory of links.
"""

import json
import queue
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from lambent.core.credentials import Credentials
from lambent.worker.messages import EnvironmentSpec
from lambent.worker.runtimes.catalog import Launch, Runtimes
from lambent.worker.runtimes.variables import compose
from lambent.worker.sandbox.driver import Addresses

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:probe"
DEADLINE_S = 30


@dataclass(frozen=True)
class Event:
    """An invocation for the fake to hand out."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Posted:
    """What the runtime client posted: `kind` is response, error or init/error; header names are in title case."""

    kind: str
    request_id: str
    headers: dict[str, str]
    body: bytes

    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Conversation:
    """All that was said between a runtime client and the fake."""

    posted: list[Posted] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    output: str = ""
    exit_code: int | None = None
    """None when the program was still asking for more when the events ran out."""


class FakeRuntimeApi:
    """Hands out events in order. When it is asked for one that it does not have, the conversation is over, unless the
    program is to end by itself."""

    def __init__(self, events: list[Event], deadline_ms: int, *, until_exit: bool) -> None:
        self._until_exit = until_exit
        self.conversation = Conversation()
        self.over = threading.Event()
        self._closing = threading.Event()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        for event in events:
            self._events.put(event)
        self._given = 0
        self._deadline_ms = deadline_ms
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                fake.next(self)

            def do_POST(self) -> None:
                fake.post(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def next(self, request: BaseHTTPRequestHandler) -> None:
        assert request.path == "/2018-06-01/runtime/invocation/next"
        self.conversation.requests.append(dict(request.headers))
        try:
            event = self._events.get_nowait()
        except queue.Empty:
            if not self._until_exit:
                self.over.set()
            self._closing.wait(DEADLINE_S)
            request.close_connection = True
            return
        self._given += 1
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": f"request-{self._given}",
            "Lambda-Runtime-Deadline-Ms": str(self._deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
            **event.headers,
        }
        self._answer(request, 200, headers, event.body)

    def post(self, request: BaseHTTPRequestHandler) -> None:
        if request.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(request.rfile.readline(), 16):
                body += request.rfile.read(size)
                request.rfile.readline()
            while request.rfile.readline().strip():
                pass
        else:
            body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        path = request.path.removeprefix("/2018-06-01/runtime/")
        kind = path if path == "init/error" else path.rsplit("/", 1)[1]
        request_id = "" if path == "init/error" else path.split("/")[1]
        headers = {name.title(): value for name, value in request.headers.items()}
        self.conversation.posted.append(Posted(kind, request_id, headers, body))
        self._answer(request, 202, {"Content-Type": "application/json"}, b'{"status":"OK"}\n')

    def _answer(self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Machine:
    """Runs functions of the tests by their launch plans, without a sandbox."""

    def __init__(self, runtimes: Runtimes, directory: Path) -> None:
        self._runtimes = runtimes
        self._directory = directory

    def launch(self, runtime: str, code: Path) -> Launch:
        return self._runtimes.launch(runtime, code)

    def run(
        self,
        runtime: str,
        files: dict[str, str | bytes],
        handler: str,
        *events: object,
        variables: dict[str, str] | None = None,
        deadline_ms: int = 4_102_444_800_000,
        until_exit: bool = False,
        **spec: Any,
    ) -> Conversation:
        """Run the function on the events, each an `Event` or something to be made JSON of."""
        root = Path(tempfile.mkdtemp(dir=self._directory))
        task = root / "var" / "task"
        for name, content in files.items():
            path = task / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            path.chmod(0o755)
        launch = self._runtimes.launch(runtime, task)
        for mount in launch.template.mounts:
            _link(root, mount.target, str(mount.source))
        for link in launch.template.links:
            _link(root, link.path, link.target if link.target.startswith("/usr") else f"{root}{link.target}")
        given = [event if isinstance(event, Event) else Event(json.dumps(event).encode()) for event in events]
        api = FakeRuntimeApi(given, deadline_ms, until_exit=until_exit)
        try:
            function = replace(_spec(runtime, handler, variables or {}), **spec)
            environment = compose(function, launch, Addresses(api.address, "127.0.0.1:9"))
            self._converse(
                api,
                [_mapped(root, word) for word in launch.command],
                {name: _mapped(root, value) for name, value in environment.items()},
                task,
            )
        finally:
            api.close()
            shutil.rmtree(root)
        api.conversation.output = api.conversation.output.replace(str(root), "")
        return api.conversation

    def _converse(self, api: FakeRuntimeApi, command: list[str], environment: dict[str, str], task: Path) -> None:
        with subprocess.Popen(
            command,
            env=environment,
            cwd=task,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            exited = threading.Thread(target=lambda: (process.wait(), api.over.set()))
            said: list[bytes] = []
            assert process.stdout is not None
            reader = threading.Thread(target=lambda: said.append(process.stdout.read()))
            exited.start()
            reader.start()
            in_time = api.over.wait(DEADLINE_S)
            # A program that ends by itself has ended its output when it asks no more; one that asks is killed.
            if api.conversation.requests and process.poll() is None:
                process.kill()
                exited.join()
            else:
                if not in_time:
                    process.kill()
                exited.join()
                api.conversation.exit_code = process.returncode
            reader.join()
            api.conversation.output = said[0].decode()
            assert in_time, f"the function neither ended nor asked for an event: {api.conversation}"


def _link(root: Path, path: str, target: str) -> None:
    place = root / path.removeprefix("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


def _mapped(root: Path, value: str) -> str:
    """Every sandbox path in a command word or a list of paths, as a path below the root."""
    return ":".join(f"{root}{part}" if part.startswith("/var/") else part for part in value.split(":"))


def _spec(runtime: str, handler: str, variables: dict[str, str]) -> EnvironmentSpec:
    return EnvironmentSpec(
        account="123456789012",
        region="eu-west-1",
        function_name="probe",
        version="$LATEST",
        runtime=runtime,
        handler=handler,
        memory_mib=256,
        timeout_ms=3000,
        ephemeral_mib=512,
        package="00",
        variables=variables,
        credentials=Credentials("AKIDEXAMPLE", "secret", "token"),
        log_group="/aws/lambda/probe",
        log_stream="2026/01/01/[$LATEST]0123456789abcdef0123456789abcdef",
    )
