"""What a worker holds on the machine, read from outside of its bookkeeping: by the kernel's word alone.

The worker is this process. What it has started is found below it, and by the names that everything of one data
directory bears: a process that lost its parent is still found by its control group, its mounts or its variables.
"""

import asyncio
import contextlib
import ctypes
import gc
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lambent.worker.sandbox.freezing import descendants
from lambent.worker.sandbox.launched import mark_of

_GROUPS = "/sys/fs/cgroup"


@dataclass(frozen=True, slots=True)
class Reading:
    """Counts, and memory in KiB: what is private to the processes, without files that are mapped. `helpers` are all
    processes below the worker: at rest, those that serve every environment."""

    processes: int
    mounts: int
    control_groups: int
    namespaces: int
    loop_devices: int
    descriptors: int
    helper_descriptors: int
    files: int
    file_bytes: int
    tasks: int
    objects: int
    """Of the worker's own types."""
    memory_kib: int
    helper_memory_kib: int


COUNTS = tuple(name for name in Reading.__slots__ if not name.endswith("_kib"))


def read(place: Path, data_dir: Path) -> Reading:
    """Everything that this process and what it has started hold now. `place` is the directory that all of it is in.
    Called on the event loop."""
    gc.collect()
    _give_back()
    mark = mark_of(data_dir)
    helpers = sorted({*descendants(os.getpid()), *processes_that_name(str(place), mark)})
    files, file_bytes = _files(place)
    return Reading(
        processes=len(helpers),
        mounts=_mounts(helpers, (str(place), mark)),
        control_groups=len(groups_of(mark)),
        namespaces=len(_links((os.getpid(), *helpers))),
        loop_devices=_loop_devices(str(place)),
        descriptors=_descriptors(os.getpid()),
        helper_descriptors=sum(map(_descriptors, helpers)),
        files=files,
        file_bytes=file_bytes,
        tasks=len(asyncio.all_tasks()),
        objects=sum(str(type(one).__module__).startswith("lambent.worker.") for one in gc.get_objects()),
        memory_kib=_private_kib(os.getpid()),
        helper_memory_kib=sum(map(_private_kib, helpers)),
    )


def _give_back() -> None:
    """Have the allocator keep nothing that is free: what it keeps goes by the largest of what it once gave."""
    with contextlib.suppress(AttributeError):  # of the GNU C library alone
        ctypes.CDLL(None).malloc_trim(0)


def processes_that_name(*needles: str) -> list[int]:
    """Those of the machine, but this one, whose control groups, mounts or variables have one of the words."""
    words = [needle.encode() for needle in needles]
    return [
        process
        for process in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        if process != os.getpid() and any(word in told for told in map(_read, _telling(process)) for word in words)
    ]


def processes_of(sandbox_id: str) -> list[int]:
    """Those in the sandbox. The launcher, which has the mounts of several in places of its own, is in none of them; nor
    is what it has just forked for another one."""
    word = sandbox_id.encode()
    found = []
    for process in processes_that_name(sandbox_id):
        groups, mounts, variables = map(_read, _telling(process))
        if word in groups or word in variables or any(word in one and _CODE in one for one in mounts.splitlines()):
            found.append(process)
    return found


_CODE = b" /var/task "
"""Where a process in a sandbox has the function's package mounted, in the words of mountinfo."""


def _telling(process: int) -> tuple[str, str, str]:
    return f"/proc/{process}/cgroup", f"/proc/{process}/mountinfo", f"/proc/{process}/environ"


def _read(path: str) -> bytes:
    """Nothing of a process that has ended, or is another user's."""
    with contextlib.suppress(OSError):
        return Path(path).read_bytes()
    return b""


def is_first_in_its_namespace(process: int) -> bool:
    """Of processes; no namespace has it as its first one where it is in ours."""
    numbers = _ids(process)
    return len(numbers) > 1 and numbers[-1] == "1"


def is_restored(process: int) -> bool:
    """Whether it is in a namespace of processes that was made inside of another sandbox's: its template's."""
    return len(_ids(process)) > 2


def _ids(process: int) -> list[str]:
    """One in each namespace of processes that it is in, from the machine's on."""
    status = _read(f"/proc/{process}/status").decode()
    return next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])


def groups_of(name: str) -> list[str]:
    """The control groups of that name, and those below them, in every hierarchy."""
    return [
        path
        for path, _, _ in os.walk(_GROUPS)
        if name in path.split("/")
    ]  # fmt: skip


def _mounts(processes: Iterable[int], needles: Iterable[str]) -> int:
    """Those in the mount namespaces of the processes that the machine itself does not have, and those of ours that it
    has."""
    machine = set(_mount_lines(os.getpid()))
    namespaces = {_link(process, "mnt"): process for process in processes}
    namespaces.pop(_link(os.getpid(), "mnt"), None)
    inside = sum(line not in machine for process in namespaces.values() for line in _mount_lines(process))
    return inside + sum(any(needle in line for needle in needles) for line in machine if " - cgroup" not in line)


def _mount_lines(process: int) -> Iterator[str]:
    """Each without the numbers by which one namespace tells it from others, and without what it passes on."""
    try:
        table = Path(f"/proc/{process}/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        yield " ".join(before.split()[2:5]) + " - " + after


def _link(process: int, kind: str) -> str:
    try:
        return os.readlink(f"/proc/{process}/ns/{kind}")  # noqa: PTH115 the text is no path
    except OSError:
        return ""


def _links(processes: Iterable[int]) -> set[str]:
    kinds = [entry.name for entry in Path("/proc/self/ns").iterdir()]
    return {_link(process, kind) for process in processes for kind in kinds} - {""}


def _loop_devices(needle: str) -> int:
    count = 0
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            count += needle in backing.read_text()
    return count


def _descriptors(process: int) -> int:
    """The one that the listing of our own takes is counted each time."""
    with contextlib.suppress(OSError):
        return len(list(Path(f"/proc/{process}/fd").iterdir()))
    return 0


def _files(place: Path) -> tuple[int, int]:
    count = size = 0
    for path, directories, files in os.walk(place):
        count += len(directories) + len(files)
        for name in files:
            # A directory keeps the size that it once had.
            with contextlib.suppress(FileNotFoundError):
                size += os.lstat(f"{path}/{name}").st_blocks * 512
    return count, size


def _private_kib(process: int) -> int:
    """By the exact account where we may look into the process, else by the kernel's quick one."""
    for name, words in (("smaps_rollup", ("Anonymous:",)), ("status", ("RssAnon:", "RssShmem:"))):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{process}/{name}").read_text().splitlines()
            return sum(int(line.split()[1]) for line in lines if line.startswith(words))
    return 0
