"""Processes of others, and what /proc, /sys and the control groups tell and let be changed."""

import os
from pathlib import Path

from hostile.probe import Caged, Probe, Unisolated

_CAP_DAC_OVERRIDE, _CAP_SYS_RESOURCE, _CAP_SYSLOG = 1, 24, 34


def _no_core_pattern() -> str:
    return "" if os.access("/proc/sys/kernel/core_pattern", os.W_OK) else "here not even root may set it"


def _no_symbols() -> str:
    there = Path("/proc/kallsyms").exists() and Path("/proc/sys/kernel/kptr_restrict").read_text().strip() in "01"
    return "" if there else "this kernel tells them to nobody"


def _no_group() -> str:
    return "" if any(Path("/sys/fs/cgroup").rglob("cgroup.procs")) else "no control groups are mounted"


PROBES = (
    Probe(
        "processes of the machine",
        "find a process of the machine by its command line",
        # The mark is given in halves: the probe's own command line must not have it.
        """
        def attempt(*halves):
            for name in filter(str.isdigit, os.listdir('/proc')):
                try:
                    if ''.join(halves).encode() in open(f'/proc/{name}/cmdline', 'rb').read():
                        return name
                except OSError:
                    continue
        """,
        Unisolated(),
        ("{mark_one}", "{mark_other}"),
    ),
    Probe(
        "variables of another process",
        "read the environment variables of all processes it sees",
        """
        def attempt(*halves):
            for name in filter(str.isdigit, os.listdir('/proc')):
                try:
                    if ('SECRET=' + ''.join(halves)).encode() in open(f'/proc/{name}/environ', 'rb').read():
                        return name
                except OSError:
                    continue
        """,
        Unisolated(),
        ("{mark_one}", "{mark_other}"),
    ),
    Probe(
        "a signal to another process",
        "signal a process of the server's user",
        "def attempt(process): os.kill(int(process), 0); return True",
        Unisolated(),
        ("{process}",),
    ),
    Probe(
        "the core pattern",
        "have the kernel start a program as root when something crashes (`core_pattern`): opened, and not written",
        "def attempt(): return os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY)",
        Unisolated(right=_CAP_DAC_OVERRIDE, missing=_no_core_pattern),
    ),
    Probe(
        "kernel settings",
        "open any setting of the kernel for writing, those of its own namespaces as well",
        """
        def attempt():
            for place, _, names in os.walk('/proc/sys'):
                for name in names:
                    try:
                        setting = os.open(os.path.join(place, name), os.O_WRONLY)
                        if name == 'ns_last_pid':  # anybody may open it; the right is asked for when it is written
                            os.write(setting, b'300')
                        return place, name
                    except OSError:
                        continue
        """,
        Caged(("the capability drop",)),
    ),
    Probe(
        "/sys",
        "look at the machine's devices and control groups in /sys",
        "def attempt(): return os.listdir('/sys')",
        Unisolated(),
    ),
    Probe(
        "control groups",
        "open a limit or a list of processes of any control group for writing",
        """
        def attempt():
            for place, _, names in os.walk('/sys/fs/cgroup'):
                for name in names:
                    if name in ('cgroup.procs', 'pids.max', 'memory.max', 'memory.limit_in_bytes', 'release_agent'):
                        try:
                            os.close(os.open(os.path.join(place, name), os.O_WRONLY))
                            return place, name
                        except OSError:
                            continue
        """,
        Unisolated(right=_CAP_DAC_OVERRIDE, missing=_no_group),
    ),
    Probe(
        "a control-group mount of its own",
        "mount the control groups where they can be written to",
        """
        def attempt():
            for kind, options in ((b'cgroup2', None), (b'cgroup', b'pids'), (b'cgroup', b'memory')):
                try:
                    call('mount', b'none', TMP.encode(), kind, 0, options)
                    return kind
                except OSError:
                    continue
        """,
        Caged(("the filter", "the capability drop"), missing=_no_group),
    ),
    Probe(
        "the out-of-memory killer",
        "have others killed before it when memory runs out",
        """
        def attempt():
            with open('/proc/self/oom_score_adj', 'w') as file:
                file.write('-1000')
            return True
        """,
        Unisolated(right=_CAP_SYS_RESOURCE),
    ),
    Probe(
        "the kernel's addresses",
        "read where in memory the kernel's code lies, which makes faults in it easier to use",
        """
        def attempt(): return any(int(line.split()[0], 16) for line in open('/proc/kallsyms'))
        """,
        Unisolated(right=_CAP_SYSLOG, missing=_no_symbols),
    ),
    Probe(
        "the kernel's log",
        "read what the kernel logs",
        "def attempt(): buffer = ctypes.create_string_buffer(4096); return call('syslog', 3, buffer, 4096)",
        Unisolated(right=_CAP_SYSLOG),
    ),
)
