"""Our Node.js client and AWS's own, on the same functions: what they post and what they log must be the same.

AWS's client is compiled when it is installed, so this runs where somebody has done that: `npm install aws-lambda-ric`
with a C++ compiler, cmake and autotools, in a directory that NODE_PATH names. It is held to the client's version 3,
which serves the runtimes before nodejs24.x.
"""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from runtime_conversation import Conversation, Event, Machine

from lambent.settings import Settings
from lambent.worker.runtimes.catalog import Runtimes, RuntimeUnavailable

RUNTIME = "nodejs20.x"

_FAIL = "const e = new RangeError('no'); e.code = 7; e.cause = new Error('why'); "
FUNCTIONS: dict[str, str] = {
    "async result": "exports.handler = async (event) => ({ event, n: 1.5, s: 'é\u2028' });",
    "async nothing": "exports.handler = async () => {};",
    "async throw": f"exports.handler = async () => {{ {_FAIL} throw e; }};",
    "async throw text": "exports.handler = async () => { throw 'text'; };",
    "async throw nothing": "exports.handler = async () => { throw undefined; };",
    "async throw odd object": "exports.handler = async () => { throw { a: 1 }; };",
    "not an error but like one": (
        "exports.handler = async () => { throw { name: 'N', message: 'm', stack: 's\\n t' }; };"
    ),
    "sync throw": f"exports.handler = () => {{ {_FAIL} throw e; }};",
    "sync return is no answer": "exports.handler = () => 5;",
    "callback": "exports.handler = (e, c, callback) => callback(null, { e });",
    "callback error": "exports.handler = (e, c, callback) => callback(new Error('no'));",
    "callback text error": "exports.handler = (e, c, callback) => callback('no');",
    "callback waits for the loop": (
        "exports.handler = (e, c, callback) => { callback(null, 1); setTimeout(() => console.log('later'), 20); };"
    ),
    "callback does not wait": (
        "exports.handler = (e, c, callback) => { c.callbackWaitsForEmptyEventLoop = false; callback(null, 1); "
        "setTimeout(() => {}, 5000); };"
    ),
    "callback later": "exports.handler = (e, c, callback) => { setTimeout(() => callback(null, 'x'), 10); };",
    "callback twice": "exports.handler = (e, c, callback) => { callback(null, 1); callback(null, 2); };",
    "done": "exports.handler = (e, c) => c.done(null, 1);",
    "succeed": "exports.handler = (e, c) => c.succeed({ a: 1 });",
    "fail": "exports.handler = (e, c) => c.fail(new TypeError('no'));",
    "fail with nothing": "exports.handler = (e, c) => c.fail();",
    "circular answer": "exports.handler = async () => { const a = {}; a.a = a; return a; };",
    "bigint answer": "exports.handler = async () => 1n;",
    "context": (
        "exports.handler = async (e, c) => ({ ...c, keys: Object.keys(c), "
        "left: c.getRemainingTimeInMillis() > 1000, trace: process.env._X_AMZN_TRACE_ID });"
    ),
    "console": (
        "exports.handler = async () => { console.log('a %s %j', 'b', { c: 1 }, [2]); console.info({ d: 1 }); "
        "console.warn('two\\nlines'); console.error(new Error('no').message); console.debug('e'); console.log(); "
        "console.log(undefined, null, Symbol('s')); };"
    ),
    "uncaught later": (
        "exports.handler = async () => { setTimeout(() => { throw new Error('late'); }); "
        "await new Promise((r) => setTimeout(r, 500)); };"
    ),
    "unhandled rejection": (
        "exports.handler = async () => { Promise.reject(new Error('nobody')); "
        "await new Promise((r) => setTimeout(r, 500)); };"
    ),
    "exit": "exports.handler = async () => process.exit(3);",
    "missing module": "require('nothing-like-this'); exports.handler = async () => 1;",
    "syntax error": "exports.handler = async ( => 1;",
    "throws at load": "throw new Error('at load');",
    "no such export": "exports.other = async () => 1;",
    "export is no function": "exports.handler = 5;",
    "logs at load": "console.log('loading'); exports.handler = async () => 1;",
}
HANDLERS = ["index", "index.", "other.handler", "../index.handler", "sub/index.handler", "index.handler.deep"]


@pytest.fixture(scope="module")
def official(functions_directory: Path) -> Machine:
    runtimes = Runtimes(Settings().runtimes_dir, node_client="aws-lambda-ric")
    try:
        asyncio.run(runtimes.prepare(RUNTIME))
    except RuntimeUnavailable as error:
        pytest.skip(str(error))
    return Machine(runtimes, functions_directory)


def _comparable(conversation: Conversation) -> dict[str, object]:
    """What a function's owner can see, without what differs from run to run or tells which client it was."""
    output = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME", conversation.output)
    output = re.sub(r"^Executing '.*\n", "", output)
    return {
        "posted": [
            (one.kind, one.request_id, _headers(one.headers), _without_frames(one.body.decode()))
            for one in conversation.posted
        ],
        "output": _without_frames(output),
        "exit_code": conversation.exit_code,
    }


def _headers(headers: dict[str, str]) -> dict[str, str]:
    told = {name.lower(): value for name, value in headers.items()}
    return {
        name: _without_frames(told.get(name, ""))
        for name in ("content-type", "lambda-runtime-function-error-type", "lambda-runtime-function-response-mode")
    }


def _without_frames(text: str) -> str:
    """Frames of either client's own files are theirs; those of the function and of Node.js's own modules stay out of
    the comparison only where the clients' calls differ."""
    text = re.sub(r"/var/tmp/lambent-runtimes-\w+/\w+", "", text)
    text = re.sub(r'"    at (?:(?!").)*"', '"FRAME"', text)
    text = re.sub(r"(?:\"FRAME\",?)+", '"FRAMES"', text)
    return re.sub(r"- [^\\\",]*/index\.mjs", "- CLIENT", text)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_clients_say_the_same_of_a_function(
    name: str, official: Machine, prepared: Callable[[str], Machine]
) -> None:
    files: dict[str, str | bytes] = {"index.js": FUNCTIONS[name]}
    events = [
        Event(b'{"a": "\xc3\xa9"}', {"Lambda-Runtime-Trace-Id": "Root=1", "Lambda-Runtime-Client-Context": '{"x":1}'}),
        Event(b"[1]"),
    ]
    ours = prepared(RUNTIME).run(RUNTIME, files, "index.handler", *events)
    theirs = official.run(RUNTIME, files, "index.handler", *events)
    assert _comparable(ours) == _comparable(theirs)


@pytest.mark.parametrize("handler", HANDLERS)
def test_both_clients_say_the_same_of_a_handler_name(
    handler: str, official: Machine, prepared: Callable[[str], Machine]
) -> None:
    files: dict[str, str | bytes] = {
        "index.js": "exports.handler = async () => 1;",
        "sub/index.mjs": "export const handler = async () => 2;",
    }
    ours = prepared(RUNTIME).run(RUNTIME, files, handler, {})
    theirs = official.run(RUNTIME, files, handler, {})
    assert _comparable(ours) == _comparable(theirs)


@pytest.mark.parametrize("name", ["console", "async throw", "missing module", "unhandled rejection"])
def test_both_clients_log_the_same_json(name: str, official: Machine, prepared: Callable[[str], Machine]) -> None:
    files: dict[str, str | bytes] = {"index.js": FUNCTIONS[name]}
    ours = prepared(RUNTIME).run(RUNTIME, files, "index.handler", {}, log_format="JSON", application_log_level="INFO")
    theirs = official.run(RUNTIME, files, "index.handler", {}, log_format="JSON", application_log_level="INFO")
    assert _comparable(ours) == _comparable(theirs)
