"""What may go wrong in the life of an environment, as a table; and a life, drawn from it by a seed.

The function's own part is one program, whose initialisation and events name what to do; the rest is done to it from
outside. Each fault says how its first event may end: `answered`, by an error's type, `retired` (no answer, since the
environment was retired), `refused` (the machine's part failed, and there was no environment) or `not restored`.

With SnapStart a life is that of a template and of those that are restored from it, all of which have the fault. The
template ends as `made` or `not made`, whatever befalls it later, or as others do.
"""

import random
from dataclasses import dataclass, field, replace
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
    Thread(target=lambda: all(True for _ in iter(int, 1)), daemon=True).start()

def does_not_obey(event): socket.recv_fds = lambda *_: time.sleep(600)
def speaks_out_of_turn(event): socket.recv_fds = lambda control, *_: control.send(b"?") and time.sleep(600)

def handler(event, context):
    print("invoked", flush=True)
    return globals()[event](event)

def after_restore():
    print("restoring", flush=True)
    globals()[os.environ["SOAK_HOOK"]](None)

if os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start":
    from snapshot_restore_py import register_after_restore
    register_after_restore(after_restore)

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
    RESTORE = auto()
    """Its hook has begun, after the restoration."""
    READY = auto()
    """A template is, when others can be restored from it."""
    INVOKE = auto()
    BORNE = auto()
    """Of a template: one that was restored from it is over, so that more are restored ahead of need."""


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
MADE, NOT_MADE, NOT_RESTORED = "made", "not made", "not restored"
_EXITED, _TIMED_OUT, _NO_ENTRYPOINT = "Runtime.ExitError", "Sandbox.Timedout", "Runtime.InvalidEntrypoint"
_OUT_OF_MEMORY = (_EXITED, ANSWERED)
"""The latter where no control group bounds an environment's memory."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`init`, `hook` (after a restoration) and `event` are functions of FUNCTION. `serves_again` tells that a second
    event must be answered. The act is done to the template where `on_template` says so, else to each that is restored
    from it."""

    name: str
    ends: frozenset[str]
    snap_start: bool = False
    init: str = "goes_well"
    hook: str = "goes_well"
    event: str = "goes_well"
    act: Act | None = None
    moment: Moment = Moment.START
    on_template: bool = False
    lack: Lack | None = None
    program: Program = PYTHON
    timeout_ms: int = 20_000
    memory_mib: int = 128
    serves_again: bool = True
    weight: int = 8


def _fault(name: str, *ends: str, **rest: object) -> Fault:
    return Fault(name, frozenset(ends), **rest)  # type: ignore[arg-type]  # mypy can not know of which type each is


def _restored(name: str, *ends: str, **rest: object) -> Fault:
    return _fault(f"restored: {name}", MADE, *ends, snap_start=True, weight=1, **rest)


def _template(name: str, *ends: str, **rest: object) -> Fault:
    return _fault(f"template: {name}", *ends, snap_start=True, weight=1, on_template=True, serves_again=False, **rest)


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


def _struck_when_restored(act: Act, what: str) -> list[Fault]:
    """A kill strikes all that are restored from the template then, wherever each of them is."""
    ends = (ANSWERED, RETIRED) if act is Act.RETIRE else (ANSWERED, RETIRED, REFUSED, NOT_RESTORED, _EXITED)
    given = {"act": act, "serves_again": False}
    return [
        _restored(f"{what} when it starts", *ends, moment=Moment.START, **given),
        _restored(f"{what} in its hook", *ends, moment=Moment.RESTORE, hook="lingers", **given),
        _restored(f"{what} when it waits", *ends, moment=Moment.READY, **given),
        _restored(f"{what} in invoke", *ends, moment=Moment.INVOKE, event="lingers", **given),
    ]


def _struck_template(act: Act, what: str) -> list[Fault]:
    """What is restored lives on when its template is retired, and not when its first process is killed."""
    unmade = RETIRED if act is Act.RETIRE else NOT_MADE
    restored: tuple[str, ...] = (MADE, ANSWERED, REFUSED)
    if act is Act.KILL_FIRST_PROCESS:
        restored = (*restored, RETIRED, NOT_RESTORED, _EXITED)
    return [
        _template(f"{what} when it starts", unmade, REFUSED, *restored, act=act, moment=Moment.START),
        _template(f"{what} in init", unmade, *restored, act=act, moment=Moment.INIT, init="lingers"),
        _template(f"{what} when it is made", *restored, act=act, moment=Moment.READY, hook="lingers"),
        _template(f"{what} when it has borne", *restored, act=act, moment=Moment.BORNE),
    ]


WELL = _fault("nothing goes wrong", ANSWERED)
RESTORED = _restored("nothing goes wrong", ANSWERED)
BOOTSTRAP_EXITING = _fault("bootstrap exits", _EXITED, program=BOOTSTRAP_EXITS, serves_again=False)

FAULTS: tuple[Fault, ...] = (
    WELL,
    _fault("exits in init", _EXITED, init="exits", serves_again=False),
    _fault("exits in its first init only", ANSWERED, init="exits_once"),
    _fault("raises in init", "Runtime.Unknown", init="raises", serves_again=False),
    _fault("hangs in init", _TIMED_OUT, init="hangs", timeout_ms=500, serves_again=False, weight=2),
    _fault("takes memory in init", *_OUT_OF_MEMORY, init="takes_memory", serves_again=False),
    BOOTSTRAP_EXITING,
    _fault("bootstrap hangs", _TIMED_OUT, program=BOOTSTRAP_HANGS, timeout_ms=500, serves_again=False, weight=2),
    _fault("has no bootstrap", _NO_ENTRYPOINT, program=NO_BOOTSTRAP, serves_again=False),
    _fault("exits in invoke", _EXITED, event="exits"),
    _fault("raises in invoke", "Runtime.Unknown", event="raises"),
    _fault("hangs in invoke", _TIMED_OUT, event="hangs", timeout_ms=500, serves_again=False),
    _fault("takes memory in invoke", *_OUT_OF_MEMORY, event="takes_memory"),
    _fault("forks without end", ANSWERED, _EXITED, _TIMED_OUT, event="forks", timeout_ms=2_000, memory_mib=512,
           serves_again=False, weight=2),
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
    RESTORED,
    _restored("its hook raises", NOT_RESTORED, hook="raises"),
    _restored("its hook exits", NOT_RESTORED, hook="exits"),
    _restored("its hook hangs", NOT_RESTORED, hook="hangs"),
    _restored("exits in invoke", _EXITED, event="exits", serves_again=False),
    _restored("raises in invoke", "Runtime.Unknown", event="raises"),
    _restored("hangs in invoke", _TIMED_OUT, event="hangs", timeout_ms=500, serves_again=False),
    _restored("takes memory in invoke", *_OUT_OF_MEMORY, event="takes_memory", serves_again=False),
    _restored("fills /tmp", ANSWERED, event="fills_tmp"),
    _restored("leaves others behind", ANSWERED, event="leaves_others"),
    *_struck_when_restored(Act.RETIRE, "is retired"),
    *_struck_when_restored(Act.KILL_FIRST_PROCESS, "its first process is killed"),
    *_struck_when_restored(Act.KILL_OTHER_PROCESS, "its other process is killed"),
    _template("exits in init", NOT_MADE, init="exits"),
    _template("raises in init", NOT_MADE, init="raises"),
    _template("hangs in init", NOT_MADE, init="hangs", timeout_ms=500),
    _template("has no bootstrap", NOT_MADE, program=NO_BOOTSTRAP),
    _template("lacks its package soon", REFUSED, lack=Lack.PACKAGE_SOON),
    _template("does not obey", MADE, REFUSED, NOT_RESTORED, init="does_not_obey"),
    _template("speaks out of turn", MADE, NOT_MADE, REFUSED, NOT_RESTORED, init="speaks_out_of_turn"),
    _template("leaves others behind", MADE, ANSWERED, init="leaves_others"),
    *_struck_template(Act.RETIRE, "is retired"),
    *_struck_template(Act.KILL_FIRST_PROCESS, "its first process is killed"),
    *_struck_template(Act.KILL_OTHER_PROCESS, "its other process is killed"),
    _template("its control groups are busy", MADE, ANSWERED, act=Act.MAKE_GROUPS_BUSY, moment=Moment.READY),
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
    instruction on, where the driver would rather fork one that has begun. `template` is the name of the one that it is
    restored from."""

    name: str
    package: str
    fault: Fault
    delay_s: float
    afresh: bool
    twice: bool
    pause_s: float
    """Of a template, between the times at which others are restored from it."""
    variables: dict[str, str] = field(default_factory=dict)
    template: str = ""


LONGEST_DELAY_S, LONGEST_PAUSE_S = 0.1, 0.4


def draw(soak: str, seed: int, number: int, fault: Fault | None = None) -> Life:
    """The life of that number: the same for the same seed, but for its name, which begins with that of the soak.
    `fault` fixes the one thing of it."""
    chance = random.Random(f"{seed}-{number}")  # noqa: S311 no secret is made of it
    drawn = chance.choices(FAULTS, [one.weight for one in FAULTS])[0]
    life_fault = fault or drawn
    afresh = chance.random() < 0.3
    variables = {"SOAK_INIT": life_fault.init, "SOAK_HOOK": life_fault.hook}
    if afresh:
        variables["PYTHONHASHSEED"] = "0"
    if life_fault.lack is Lack.STARTABLE:
        variables["BROKEN"] = "a\0b"
    # Looked for on the machine by its name, none may be found for another one that begins in the same way.
    name = f"{soak}-{number:06}"
    return Life(
        name=name,
        package=name,
        fault=life_fault,
        delay_s=chance.uniform(0, LONGEST_DELAY_S),
        afresh=afresh,
        twice=chance.random() < 0.5,
        pause_s=chance.uniform(0, LONGEST_PAUSE_S),
        variables=variables,
    )


def template_of(life: Life) -> Life:
    """The template of a life with SnapStart."""
    return replace(life, name=f"{life.name}-template")


def restored_of(life: Life, number: int) -> Life:
    """One that is restored from it."""
    return replace(life, name=f"{life.name}-{number}", template=template_of(life).name)
