"""What may go wrong in the life of an environment, as a table; and a life, drawn from it by a seed.

The function's own part is one program, whose initialisation and events name what to do; the rest is done to it from
outside. Each fault says how its first event may end: `answered`, by an error's type, `retired` (no answer, since the
environment was retired) or `refused` (the machine's part failed, and there was no environment).
"""

import random
from dataclasses import dataclass, field
from enum import Enum, auto

FUNCTION = """
import os, socket, subprocess, time
from threading import Thread

TMP = os.environ.get("TMPDIR", "/tmp")
HELD = []

def goes_well(event): return "well"
def lingers(event): time.sleep(0.3)
def exits(event): os._exit(3)
def raises(event): raise ValueError("on purpose")
def hangs(event): time.sleep(600)
def floods(event): [print("x" * 99) for _ in range(40_000)]
def answers_too_much(event): return "x" * 7_000_000

def exits_once(event):
    if not os.path.exists(TMP + "/been-here"):
        open(TMP + "/been-here", "w").close()
        os._exit(3)

def takes_memory(event):
    for _ in range(400):
        HELD.append(bytearray(b"x" * (1 << 20)))

def forks(event):
    try:
        while os.fork():
            pass
        time.sleep(600)
    except OSError:
        return "no more processes"

def fills_tmp(event):
    with open(TMP + "/full", "wb") as file:
        try:
            [file.write(b"x" * (1 << 20)) for _ in range(64)]
            file.flush()
        except OSError as error:
            return str(error)

def closes_output(event):
    os.close(1), os.close(2)

def holds_connections(event):
    for name in ["AWS_LAMBDA_RUNTIME_API"] * 20 + ["AWS_ENDPOINT_URL"] * 5:
        host, port = os.environ[name].removeprefix("http://").split(":")
        HELD.append(socket.create_connection((host, int(port)), 10))
        HELD[-1].sendall(b"POST /2018-06-01/runtime/init/error HTTP/1.1\\r\\nContent-Length: 9\\r\\n\\r\\n")

def leaves_others(event):
    HELD.append(subprocess.Popen(["/bin/sh", "-c", "sleep 600 & sleep 600"], start_new_session=True))
    Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()

def handler(event, context):
    print("invoked", flush=True)
    return globals()[event](event)

print("initialising", flush=True)
globals()[os.environ["SOAK_INIT"]](None)
"""


@dataclass(frozen=True, slots=True)
class Program:
    """What the function brings. `files` are (name, text, mode)."""

    runtime: str
    files: tuple[tuple[str, str, int], ...]


PYTHON = Program("", (("app.py", FUNCTION, 0o644),))
"""In the runtime `python3.X` of this process's own version."""
BOOTSTRAP_EXITS = Program("provided.al2023", (("bootstrap", "#!/bin/sh\necho initialising\nexit 3\n", 0o755),))
BOOTSTRAP_HANGS = Program("provided.al2023", (("bootstrap", "#!/bin/sh\necho initialising\nsleep 600\n", 0o755),))
NO_BOOTSTRAP = Program("provided.al2023", (("bootstrap", "#!/bin/sh\n", 0o644),))


class Moment(Enum):
    """Where in its life something is done to an environment from outside; after that comes a random delay."""

    START = auto()
    INIT = auto()
    READY = auto()
    INVOKE = auto()


class Act(Enum):
    RETIRE = auto()
    KILL_FIRST_PROCESS = auto()
    KILL_OTHER_PROCESS = auto()
    MAKE_GROUPS_BUSY = auto()
    """Others make a group inside of the environment's, and have a process there."""


class Lack(Enum):
    """What the machine does not have for the environment."""

    PACKAGE = auto()
    PACKAGE_SOON = auto()
    """It is there when it is asked for, and gone when it is to be shown to the sandbox."""
    RUNTIME = auto()
    STARTABLE = auto()
    """The program can not be started with its variables."""


ANSWERED, RETIRED, REFUSED = "answered", "retired", "refused"
_EXITED, _TIMED_OUT, _NO_ENTRYPOINT = "Runtime.ExitError", "Sandbox.Timedout", "Runtime.InvalidEntrypoint"
_OUT_OF_MEMORY = (_EXITED, ANSWERED)
"""The latter where no control group bounds an environment's memory."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`init` and `event` are functions of FUNCTION. `serves_again` tells that a second event must be answered."""

    name: str
    ends: frozenset[str]
    init: str = "goes_well"
    event: str = "goes_well"
    act: Act | None = None
    moment: Moment = Moment.START
    lack: Lack | None = None
    program: Program = PYTHON
    timeout_ms: int = 20_000
    memory_mib: int = 128
    serves_again: bool = True
    weight: int = 4


def _fault(name: str, *ends: str, **rest: object) -> Fault:
    return Fault(name, frozenset(ends), **rest)  # type: ignore[arg-type]  # mypy can not know of which type each is


def _struck(act: Act, what: str) -> list[Fault]:
    """Done to the environment in each part of its life. What it strikes may just have ended, or not be there yet."""
    last = RETIRED if act is Act.RETIRE else _EXITED
    again = act is not Act.RETIRE
    return [
        _fault(f"{what} when it starts", ANSWERED, last, REFUSED, act=act, moment=Moment.START, serves_again=False),
        _fault(f"{what} in init", ANSWERED, last, act=act, moment=Moment.INIT, init="lingers", serves_again=again),
        _fault(f"{what} when it waits", ANSWERED, last, act=act, moment=Moment.READY, serves_again=again),
        _fault(f"{what} in invoke", ANSWERED, last, act=act, moment=Moment.INVOKE, event="lingers", serves_again=again),
    ]


WELL = _fault("nothing goes wrong", ANSWERED)
BOOTSTRAP_EXITING = _fault("bootstrap exits", _EXITED, program=BOOTSTRAP_EXITS, serves_again=False)

FAULTS: tuple[Fault, ...] = (
    WELL,
    _fault("exits in init", _EXITED, init="exits", serves_again=False),
    _fault("exits in its first init only", ANSWERED, init="exits_once"),
    _fault("raises in init", "ValueError", init="raises", serves_again=False),
    _fault("hangs in init", _TIMED_OUT, init="hangs", timeout_ms=500, serves_again=False, weight=1),
    _fault("takes memory in init", *_OUT_OF_MEMORY, init="takes_memory", serves_again=False),
    BOOTSTRAP_EXITING,
    _fault("bootstrap hangs", _TIMED_OUT, program=BOOTSTRAP_HANGS, timeout_ms=500, serves_again=False, weight=1),
    _fault("has no bootstrap", _NO_ENTRYPOINT, program=NO_BOOTSTRAP, serves_again=False),
    _fault("exits in invoke", _EXITED, event="exits"),
    _fault("raises in invoke", "Runtime.Unknown", event="raises"),
    _fault("hangs in invoke", _TIMED_OUT, event="hangs", timeout_ms=500, serves_again=False),
    _fault("takes memory in invoke", *_OUT_OF_MEMORY, event="takes_memory"),
    _fault("forks without end", ANSWERED, _EXITED, _TIMED_OUT, event="forks", timeout_ms=2_000, memory_mib=512,
           serves_again=False, weight=1),
    _fault("fills /tmp", ANSWERED, event="fills_tmp"),
    _fault("closes its output", ANSWERED, event="closes_output", serves_again=False),
    _fault("floods its output", ANSWERED, event="floods"),
    _fault("answers too much", "Function.ResponseSizeTooLarge", event="answers_too_much"),
    _fault("holds connections", ANSWERED, event="holds_connections"),
    _fault("leaves others behind", ANSWERED, event="leaves_others"),
    _fault("lacks its package", REFUSED, lack=Lack.PACKAGE, serves_again=False),
    _fault("lacks its package soon", REFUSED, lack=Lack.PACKAGE_SOON, serves_again=False),
    _fault("lacks its runtime", REFUSED, lack=Lack.RUNTIME, serves_again=False),
    _fault("has variables that can not be", REFUSED, lack=Lack.STARTABLE, serves_again=False),
    *_struck(Act.RETIRE, "is retired"),
    *_struck(Act.KILL_FIRST_PROCESS, "its first process is killed"),
    *_struck(Act.KILL_OTHER_PROCESS, "its other process is killed"),
    _fault("its control groups are busy", ANSWERED, act=Act.MAKE_GROUPS_BUSY, moment=Moment.READY),
)  # fmt: skip


class Upheaval(Enum):
    """What befalls all environments of a round at once."""

    LAUNCHER_KILLED = auto()
    ANY_PROCESSES_KILLED = auto()
    """Some below the launcher, whichever: also those that others are forked from."""
    CONNECTION_CUT = auto()
    """That of the dispatcher to the worker: all environments end, and the driver with them."""
    USER_IDS_EXHAUSTED = auto()


@dataclass(frozen=True, slots=True)
class Life:
    """One environment to be, from its start to its end. `afresh` asks for a process of its own from the first
    instruction on, where the driver would rather fork one that has begun."""

    name: str
    fault: Fault
    delay_s: float
    afresh: bool
    twice: bool
    variables: dict[str, str] = field(default_factory=dict)


LONGEST_DELAY_S = 0.1


def draw(soak: str, seed: int, number: int, fault: Fault | None = None) -> Life:
    """The life of that number: the same for the same seed, but for its name, which begins with that of the soak.
    `fault` fixes the one thing of it."""
    chance = random.Random(f"{seed}-{number}")  # noqa: S311 no secret is made of it
    drawn = chance.choices(FAULTS, [one.weight for one in FAULTS])[0]
    life_fault = fault or drawn
    afresh = chance.random() < 0.3
    variables = {"SOAK_INIT": life_fault.init}
    if afresh:
        variables["PYTHONHASHSEED"] = "0"
    if life_fault.lack is Lack.STARTABLE:
        variables["BROKEN"] = "a\0b"
    return Life(
        name=f"{soak}-{number}",
        fault=life_fault,
        delay_s=chance.uniform(0, LONGEST_DELAY_S),
        afresh=afresh,
        twice=chance.random() < 0.5,
        variables=variables,
    )
