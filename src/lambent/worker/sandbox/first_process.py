"""The first process of a sandbox, once it has borne the program's: it reaps whatever ends, and tells how that one did.

A forked interpreter that only waits keeps a megabyte of its own, in every sandbox. So it is replaced by a program of
119 bytes, which keeps some pages; where that can not be, the interpreter goes on to wait.

It runs on every Python that functions run on, and is part of the runtime kits (`runtimes/python.py`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
from typing import NoReturn

_STATUS = 3
"""Where the program below writes to."""

_X86_64 = """
    48 8b 44 24 10        ; mov 16(%rsp), %rax      the first argument: one digit,
    0f b6 18              ; movzbl (%rax), %ebx     the id of the program's process
    83 eb 30              ; sub $'0', %ebx
    6a ff                 ; again: push $-1
    5f                    ; pop %rdi
    48 8d 74 24 f0        ; lea -16(%rsp), %rsi
    31 d2                 ; xor %edx, %edx
    45 31 d2              ; xor %r10d, %r10d
    6a 3d                 ; push $61
    58                    ; pop %rax
    0f 05                 ; syscall                 wait4(-1, &status, 0, NULL)
    83 f8 f6              ; cmp $-10, %eax          ECHILD
    74 4e                 ; je over
    39 d8                 ; cmp %ebx, %eax
    75 e5                 ; jne again
    8b 44 24 f0           ; mov -16(%rsp), %eax     the status in decimal, written from its end
    48 8d 7c 24 e8        ; lea -24(%rsp), %rdi
    c6 07 0a              ; movb $'\\n', (%rdi)
    6a 0a                 ; push $10
    59                    ; pop %rcx
    31 d2                 ; digit: xor %edx, %edx
    f7 f1                 ; div %ecx
    80 c2 30              ; add $'0', %dl
    48 ff cf              ; dec %rdi
    88 17                 ; mov %dl, (%rdi)
    85 c0                 ; test %eax, %eax
    75 f0                 ; jnz digit
    48 83 ef 05           ; sub $5, %rdi
    c7 07 65 78 69 74     ; movl "exit", (%rdi)
    c6 47 04 20           ; movb $' ', 4(%rdi)
    48 89 fe              ; mov %rdi, %rsi
    48 8d 54 24 e9        ; lea -23(%rsp), %rdx
    48 29 fa              ; sub %rdi, %rdx
    6a 03                 ; push $3
    5f                    ; pop %rdi
    6a 01                 ; push $1
    58                    ; pop %rax
    0f 05                 ; syscall                 write(3, text, length)
    6a 03                 ; push $3
    5f                    ; pop %rdi
    6a 03                 ; push $3
    58                    ; pop %rax
    0f 05                 ; syscall                 close(3)
    eb 9b                 ; jmp again
    31 ff                 ; over: xor %edi, %edi
    6a 3c                 ; push $60
    58                    ; pop %rax
    0f 05                 ; syscall                 exit(0)
"""
"""The machine's bytes, and what they say to it."""

_ADDRESS = 0x40_0000
_HEADER, _SEGMENT = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")
_READ_AND_EXECUTE, _READ_AND_WRITE = 5, 6
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def executable() -> int:
    """The program, as a file without a name that nobody can change or read: who executes it can not be looked into.
    -1 where it can not be had: on other machines, or where the machine's settings let no such file be executed."""
    if os.uname().machine != "x86_64":
        return -1
    file = -1
    try:
        file = os.memfd_create("init", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(file, _image())
        os.fchmod(file, 0o111)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        if file >= 0:
            os.close(file)
        return -1
    return file


def _image() -> bytes:
    code = bytes.fromhex("".join(line.partition(";")[0] for line in _X86_64.splitlines()))
    start = _HEADER.size + 2 * _SEGMENT.size
    size = start + len(code)
    identity = b"\x7fELF\x02\x01\x01"
    header = _HEADER.pack(
        identity, 2, 62, 1, _ADDRESS + start, _HEADER.size, 0, 0, _HEADER.size, _SEGMENT.size, 2, 0, 0, 0
    )
    loaded = _SEGMENT.pack(1, _READ_AND_EXECUTE, 0, _ADDRESS, _ADDRESS, size, size, 0x1000)
    stack = _SEGMENT.pack(0x6474_E551, _READ_AND_WRITE, 0, 0, 0, 0, 0, 16)
    return header + loaded + stack + code


def watch(program: int, status: int, file: int) -> NoReturn:
    """Be the first process, by the executable `file` where it can be. `exit N` with the wait status of the process
    `program` goes to the pipe `status`. What is left in the sandbox then is the launcher's to end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else, where it is ignored, nothing is told of what ends
    for number in (0, 1, 2):
        os.close(number)
    if file >= 0 and program < 10:
        if file == _STATUS:
            file = os.dup(file)
        if status != _STATUS:
            os.dup2(status, _STATUS)
        os.set_inheritable(_STATUS, True)
        with contextlib.suppress(OSError):
            os.execve(file, ["init", str(program)], {})
    while True:
        try:
            ended, how = os.waitpid(-1, 0)
        except ChildProcessError:
            os._exit(0)
        if ended == program:
            os.write(status, f"exit {how}\n".encode())
            os.closerange(_STATUS, status + 1)
