"""Rare ways into the kernel, which a function has no use for."""

import os
from pathlib import Path

from hostile.probe import Caged, Probe, Unisolated

_CAP_BPF, _CAP_DAC_READ_SEARCH, _CAP_SYS_MODULE, _CAP_SYS_ADMIN = 39, 2, 16, 21

_WITHOUT_FILTER = Caged(("the filter",))


def _set(path: str, *allowed: str) -> str:
    """Why the control can not be run when the kernel's setting is another one."""
    setting = Path(path)
    value = setting.read_text().strip() if setting.exists() else ""
    return "" if value in ("", *allowed) else f"{path} is {value}"


def _no_io_uring() -> str:
    return _set("/proc/sys/kernel/io_uring_disabled", "0")


def _no_perf() -> str:
    return _set("/proc/sys/kernel/perf_event_paranoid", "-1", "0", "1", "2")


def _other_machine() -> str:
    return "" if os.uname().machine == "x86_64" else "there is no other way into this machine's kernel"


def _no_modules() -> str:
    return "" if Path("/proc/modules").exists() else "this kernel loads no modules"


PROBES = (
    Probe(
        "key rings",
        "put a key into a ring of the kernel, and read it there",
        """
        def attempt():
            key = call('add_key', b'user', b'hostile', b'value', 5, -2)
            buffer = ctypes.create_string_buffer(16)
            return call('keyctl', 11, key, buffer, 16)
        """,
        _WITHOUT_FILTER,
    ),
    Probe(
        "tracing",
        "attach to another process of the sandbox and take it over",
        """
        import signal
        def attempt():
            child = os.fork()
            if not child:
                signal.pause()
            try:
                call('ptrace', 0x4206, child, 0, 0)
                return True
            finally:
                os.kill(child, signal.SIGKILL)
        """,
        _WITHOUT_FILTER,
    ),
    Probe(
        "memory of another process",
        "read it by process_vm_readv",
        """
        import signal
        def attempt():
            secret = ctypes.create_string_buffer(b'secret')
            child = os.fork()
            if not child:
                signal.pause()
            try:
                told = ctypes.create_string_buffer(6)
                pair = ctypes.c_void_p * 2
                here = pair(ctypes.addressof(told), 6)
                there = pair(ctypes.addressof(secret), 6)
                call('process_vm_readv', child, here, 1, there, 1, 0)
                return told.raw
            finally:
                os.kill(child, signal.SIGKILL)
        """,
        _WITHOUT_FILTER,
    ),
    Probe(
        "descriptors of another process",
        "take one by pidfd_getfd",
        """
        import signal
        def attempt():
            child = os.fork()
            if not child:
                signal.pause()
            try:
                return call('pidfd_getfd', call('pidfd_open', child, 0), 1, 0)
            finally:
                os.kill(child, signal.SIGKILL)
        """,
        _WITHOUT_FILTER,
    ),
    Probe(
        "io_uring",
        "have the kernel carry out calls that the filter does not see",
        "def attempt(): return call('io_uring_setup', 4, ctypes.create_string_buffer(120))",
        Caged(("the filter",), missing=_no_io_uring),
    ),
    Probe(
        "BPF",
        "make a BPF map, the first step of running code in the kernel",
        """
        import struct
        def attempt(): return call('bpf', 0, ctypes.create_string_buffer(struct.pack('=5I', 2, 4, 4, 1, 0), 128), 128)
        """,
        Unisolated(right=_CAP_BPF),
    ),
    Probe(
        "performance counters",
        "watch the processor by perf_event_open",
        """
        import struct
        def attempt():
            # A software clock, of this process, the kernel left out.
            wanted = ctypes.create_string_buffer(struct.pack('=2I5Q', 1, 112, 0, 0, 0, 0, 0x60), 112)
            return call('perf_event_open', wanted, 0, -1, -1, 0)
        """,
        Caged(("the filter",), missing=_no_perf),
    ),
    Probe(
        "page faults of its own",
        "hold the kernel up in the middle of a call by userfaultfd",
        "def attempt(): return call('userfaultfd', 1)",
        _WITHOUT_FILTER,
    ),
    Probe(
        "file handles",
        "open a file by a number that needs no path to it",
        """
        import struct
        def attempt():
            handle = ctypes.create_string_buffer(struct.pack('=Ii', 120, 0), 128)
            mount, place = ctypes.c_int(), os.open(TMP, os.O_RDONLY)
            call('name_to_handle_at', place, b'', handle, ctypes.byref(mount), 0x1000)
            return call('open_by_handle_at', place, handle, os.O_RDONLY)
        """,
        Unisolated(right=_CAP_DAC_READ_SEARCH),
    ),
    Probe(
        "watching the file system",
        "be told of what is opened by fanotify",
        "def attempt(): return call('fanotify_init', 0x200, 0)",
        _WITHOUT_FILTER,
    ),
    Probe(
        "kernel modules",
        "load one: an empty one, so that only the permission is asked",
        """
        def attempt():
            try:
                call('init_module', ctypes.create_string_buffer(64), 64, b'')
            except OSError as error:
                return error.errno == errno.ENOEXEC
        """,
        Unisolated(right=_CAP_SYS_MODULE, missing=_no_modules),
    ),
    Probe(
        "swap and accounting",
        "have the kernel swap or account to a file: one that is not there, so that only the permission is asked",
        """
        def attempt():
            asked = []
            for name in ('swapon', 'acct'):
                try:
                    call(name, b'/nowhere/hostile', 0)
                except OSError as error:
                    asked.append(error.errno)
            return errno.ENOENT in asked
        """,
        Unisolated(right=_CAP_SYS_ADMIN),
    ),
    Probe(
        "other socket families",
        "open a socket of a family beside unix, inet and inet6, or of a netlink beside route",
        """
        import socket
        def attempt():
            families = [(number, 0) for number in range(46) if number not in (1, 2, 10, 16)]
            for family, protocol in (*families, *((16, number) for number in range(1, 23))):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
                    try:
                        socket.socket(family, kind, protocol).close()
                        return family, protocol
                    except OSError:
                        continue
        """,
        _WITHOUT_FILTER,
    ),
    Probe(
        "the address space's layout",
        "switch its randomness off for the programs that it starts",
        "def attempt(): call('personality', 0x0040000); return True",
        _WITHOUT_FILTER,
    ),
    Probe(
        "the 32-bit way into the kernel",
        "call the kernel by the numbers of another instruction set, which the filter does not list",
        """
        import ctypes, mmap
        def attempt():
            # mov eax, 20 (getpid); int 0x80; ret
            code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            code.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))
            function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
            return function() == os.getpid()
        """,
        Caged(("the filter",), missing=_other_machine),
        killed_by=31,
    ),
)
