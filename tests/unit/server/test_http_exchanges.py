"""What the two listeners make of HTTP's rarer words, by real sockets on the server's event loop: a wish to upgrade, the
end of a connection from either side, HTTP/1.0, HEAD, and targets as proxies send them."""

import asyncio
import contextlib
import http.client
import json
import socket
import threading

import pytest
import uvloop

from lambent.core.allowance import Allowance
from lambent.core.invocation import Invocation
from lambent.server.http_protocol import Connections
from lambent.wire.http import HttpResponse
from lambent.worker.runtime_api import Refusal, RuntimeConnection

WITHIN_S = 20
PING = "/2018-06-01/ping"
NEXT = "/2018-06-01/runtime/invocation/next"
RESPONSE = "/2018-06-01/runtime/invocation/r1/response"
UPGRADE = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"


class Echo:
    """The front listener over a server that tells what it was asked; what is asked of `/later`, when it is let."""

    def __init__(self):
        self.later = []
        self.asked = threading.Event()
        self.connections = Connections(self.serve, Allowance(connections=100, held_bytes=1 << 30))

    def serve(self, request, answer):
        told = [request.method, request.path, request.headers.get("host"), request.body.decode()]
        response = HttpResponse(200, (("Content-Type", "application/json"),), json.dumps(told).encode())
        if request.path == "/later":
            self.later.append(lambda: answer(response))
            self.asked.set()
        else:
            answer(response)

    def let(self):
        self.later.pop(0)()

    def protocol(self):
        return self.connections()

    def open(self):
        return len(self.connections.open)


class Environment:
    """The Runtime API over an environment that has no event until it is let have one."""

    def __init__(self):
        self.waiting = None
        self.responses = []
        self.asked = threading.Event()
        self.connections = set()

    def asks_next(self, connection):
        if self.waiting is not None:
            return Refusal(403, "InvalidStateTransition", "one asks already")
        self.waiting = connection
        self.asked.set()
        return None

    def responds(self, connection, request_id, posted):
        connection.accept()
        self.responses.append((request_id, posted.body))

    def fails_init(self, connection, posted):
        connection.accept()

    def hangs_up(self, connection):
        if self.waiting is connection:
            self.waiting = None

    def let(self):
        connection, self.waiting = self.waiting, None
        assert connection.deliver(Invocation("r1", "arn:aws:lambda:::function:f", b"the event"), 1)

    def protocol(self):
        return RuntimeConnection(self, self.connections)

    def open(self):
        return len(self.connections)


class Client:
    """A connection to a listener, and the answers that come by it."""

    def __init__(self, address):
        self._socket = socket.create_connection(address, WITHIN_S)
        self._answers = self._socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._answers.close()
        self._socket.close()

    def send(self, data):
        self._socket.sendall(data)

    def end(self):
        """Send no more."""
        self._socket.shutdown(socket.SHUT_WR)

    def answer(self, *, to_head=False):
        """The next answer: status, fields, body."""
        line = self._answers.readline().split()
        assert line[:1] == [b"HTTP/1.1"], line
        fields = http.client.parse_headers(self._answers)
        return int(line[1]), fields, b"" if to_head else self._answers.read(int(fields["Content-Length"]))

    def rest(self):
        """What comes until the other side ends the connection."""
        return self._answers.read()


class Listening:
    """A listener on a loop in a thread of its own."""

    def __init__(self, peer):
        self.peer = peer
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._server = self.run(self.loop.create_server(peer.protocol, "127.0.0.1", 0))
        self.address = self._server.sockets[0].getsockname()[:2]

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WITHIN_S)

    def do(self, action):
        async def work():
            return action()

        return self.run(work())

    def let(self):
        assert self.peer.asked.wait(WITHIN_S)
        self.do(self.peer.let)

    def connect(self):
        return Client(self.address)

    def close(self):
        self.do(self._server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@contextlib.contextmanager
def listening(peer):
    listener = Listening(peer)
    try:
        yield listener
    finally:
        listener.close()


@pytest.fixture
def front():
    with listening(Echo()) as listener:
        yield listener


@pytest.fixture
def runtime():
    with listening(Environment()) as listener:
        yield listener


@pytest.fixture(params=[Echo, Environment])
def either(request):
    with listening(request.param()) as listener:
        yield listener


def request(method, target, fields="", body="", version="1.1"):
    if body:
        fields += f"Content-Length: {len(body)}\r\n"
    return f"{method} {target} HTTP/{version}\r\nHost: x\r\n{fields}\r\n{body}".encode()


# Upgrade and tunnels --------------------------------------------------------------------------------------------------


def test_a_client_that_wishes_to_upgrade_is_served_as_if_it_had_not(front):
    with front.connect() as connection:
        for _ in range(3):
            connection.send(request("GET", "/a", UPGRADE))
            status, fields, body = connection.answer()
            assert (status, json.loads(body)) == (200, ["GET", "/a", "x", ""])
            assert fields["Connection"] is None


def test_a_body_and_another_request_behind_a_wish_to_upgrade_are_read(front):
    with front.connect() as connection:
        sent = request("POST", "/a", UPGRADE, "hello") + request("GET", "/b")
        connection.send(sent[:-30])
        connection.send(sent[-30:])
        connection.end()
        told = connection.rest().decode()
    assert '["POST", "/a", "x", "hello"]' in told
    assert '["GET", "/b", "x", ""]' in told
    assert told.count("HTTP/1.1") == told.count("HTTP/1.1 200") == 2


def test_a_runtime_that_wishes_to_upgrade_gets_its_event_and_responds(runtime):
    with runtime.connect() as connection:
        for _ in range(2):
            connection.send(request("GET", NEXT, UPGRADE))
            runtime.let()
            runtime.peer.asked.clear()
            assert connection.answer()[2] == b"the event"
            connection.send(request("POST", RESPONSE, UPGRADE, "done"))
            assert connection.answer()[0] == 202
    assert runtime.peer.responses == [("r1", b"done")] * 2


def test_a_tunnel_is_refused_in_words(either):
    with either.connect() as connection:
        connection.send(b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\n\r\n\x16\x03\x01")
        status, fields, _ = connection.answer()
        assert (status, fields["Connection"]) == (501, "close")
        assert connection.rest() == b""


def test_a_runtime_that_is_not_understood_is_told_behind_the_answers_that_are_due(runtime):
    with runtime.connect() as connection:
        connection.send(request("GET", NEXT))
        assert runtime.peer.asked.wait(WITHIN_S)
        connection.send(request("GET", PING) + b"nonsense\r\n\r\n")
        runtime.let()
        assert [connection.answer()[0] for _ in range(3)] == [200, 200, 400]
        assert connection.rest() == b""


# The end of a connection ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "field"), [("1.1", "Connection: close\r\n"), ("1.0", "")])
def test_a_connection_ends_behind_the_answer_if_the_client_says_so(either, version, field):
    with either.connect() as connection:
        connection.send(request("GET", PING, field, version=version))
        status, fields, body = connection.answer()
        assert (status, fields["Connection"]) == (200, "close")
        assert body
        assert connection.rest() == b""


@pytest.mark.parametrize(("version", "field"), [("1.1", "Connection: close\r\n"), ("1.0", "")])
def test_a_runtimes_connection_ends_behind_its_event_if_it_says_so(runtime, version, field):
    with runtime.connect() as connection:
        connection.send(request("GET", NEXT, field, version=version))
        runtime.let()
        status, fields, body = connection.answer()
        assert (status, fields["Connection"], body) == (200, "close", b"the event")
        assert connection.rest() == b""


def test_a_connection_of_http_1_0_that_goes_on_is_confirmed(either):
    with either.connect() as connection:
        for _ in range(3):
            connection.send(request("GET", PING, "Connection: keep-alive\r\n", version="1.0"))
            status, fields, _ = connection.answer()
            assert (status, fields["Connection"]) == (200, "keep-alive")


def test_an_answer_that_is_due_reaches_a_client_that_has_ended_its_side(either):
    with either.connect() as connection:
        connection.send(request("GET", NEXT if either.peer.__class__ is Environment else "/later"))
        assert either.peer.asked.wait(WITHIN_S)
        connection.end()
        # A request on another connection comes in behind the end of this one.
        with either.connect() as other:
            other.send(request("GET", PING))
            other.answer()
        either.let()
        status, _, body = connection.answer()
        assert status == 200
        assert body
        assert connection.rest() == b""


def test_all_that_was_sent_before_the_end_is_answered(either):
    with either.connect() as connection:
        connection.send(request("GET", PING) * 12)
        connection.end()
        assert connection.rest().count(b"HTTP/1.1 200") == 12


@pytest.mark.parametrize(
    "sent", [b"", b"GET /a", b"POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nx"], ids=["nothing", "a line", "a body"]
)
def test_a_client_that_ends_its_side_with_nothing_due_is_left_at_once(either, sent):
    with either.connect() as connection:
        connection.send(sent)
        connection.end()
        assert connection.rest() == b""


def test_a_request_that_never_ends_behind_one_that_is_served_does_not_hold_the_connection(front):
    with front.connect() as connection:
        connection.send(request("GET", "/later") + b"GET /a")
        connection.end()
        front.let()
        assert connection.answer()[0] == 200
        assert connection.rest() == b""
    assert front.do(front.peer.open) == 0


def test_a_next_whose_connection_may_be_dead_gives_way_to_a_later_one(runtime):
    with runtime.connect() as first, runtime.connect() as second:
        first.send(request("GET", NEXT))
        assert runtime.peer.asked.wait(WITHIN_S)
        second.send(request("GET", NEXT))
        assert second.answer()[0] == 403, "the first may well live"
        first.end()
        with runtime.connect() as other:
            other.send(request("GET", PING))
            other.answer()
        second.send(request("GET", NEXT) + request("GET", PING))
        assert first.rest() == b""
        runtime.let()
        assert second.answer()[2] == b"the event"
        assert second.answer()[2] == b"pong"
        assert runtime.do(runtime.peer.open) == 1


# HEAD and targets -----------------------------------------------------------------------------------------------------


def test_an_answer_to_head_has_the_head_of_one_to_get_and_no_body(front):
    with front.connect() as connection:
        connection.send(request("HEAD", "/a") + request("GET", "/b"))
        status, fields, _ = connection.answer(to_head=True)
        assert (status, fields["Content-Length"]) == (200, str(len('["HEAD", "/a", "x", ""]')))
        assert json.loads(connection.answer()[2])[1] == "/b"


def test_an_answer_of_the_runtime_api_to_head_has_no_body(runtime):
    with runtime.connect() as connection:
        connection.send(request("HEAD", "/a") + request("GET", PING))
        assert connection.answer(to_head=True)[0] == 404
        assert connection.answer()[2] == b"pong"


def test_a_target_as_a_proxy_sends_it_is_served_by_its_path_for_its_host(front):
    with front.connect() as connection:
        connection.send(request("GET", "http://here:9000/a/b?c=d"))
        assert json.loads(connection.answer()[2]) == ["GET", "/a/b", "here:9000", ""]


def test_a_runtime_behind_a_proxy_setting_gets_its_event(runtime):
    with runtime.connect() as connection:
        connection.send(request("GET", f"http://127.0.0.1:9001{NEXT}"))
        runtime.let()
        assert connection.answer()[2] == b"the event"


# A server that leaves -------------------------------------------------------------------------------------------------


def test_a_server_that_leaves_answers_what_is_due_and_takes_no_more(front):
    with front.connect() as idle, front.connect() as busy:
        idle.send(request("GET", "/a"))
        idle.answer()
        busy.send(request("GET", "/later"))
        assert front.peer.asked.wait(WITHIN_S)
        leaving = asyncio.run_coroutine_threadsafe(front.peer.connections.drain(WITHIN_S), front.loop)
        assert idle.rest() == b""
        front.do(front.peer.let)
        status, fields, _ = busy.answer()
        assert (status, fields["Connection"]) == (200, "close")
        assert busy.rest() == b""
        leaving.result(WITHIN_S)
