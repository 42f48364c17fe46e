"""How a command ends: its exit code, and the message of one that failed."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of `lambent`, for scripts. README.md lists them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    FUNCTION_ERROR = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


class CommandError(Exception):
    """A command can not go on. `hint` tells what to do about it, `error_code` is the service's, when it has one."""

    def __init__(
        self, message: str, *, exit_code: ExitCode = ExitCode.FAILED, hint: str = "", error_code: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.hint = hint
        self.error_code = error_code
