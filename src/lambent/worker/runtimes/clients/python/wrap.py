"""Starts a Python function through the program named by AWS_LAMBDA_EXEC_WRAPPER, if there is one, or else directly.

The wrapper is given the command line that would have run: the interpreter, its options, and last `bootstrap.py`.
Source: developer guide, "Modifying the runtime environment", "Wrapper scripts".
"""

import os
import sys
from importlib import import_module


def unusable(wrapper: str) -> "tuple[str, int] | None":
    """What is wrong with the wrapper, and the exit status of AWS's own start script for that."""
    if not os.path.isfile(wrapper):
        return "does not exist", 127
    if not os.access(wrapper, os.X_OK):
        return "is not an executable", 126
    return None


def main() -> None:
    wrapper = os.environ.get("AWS_LAMBDA_EXEC_WRAPPER")
    if wrapper:
        script = os.path.join(os.environ["LAMBDA_RUNTIME_DIR"], "bootstrap.py")
        problem = unusable(wrapper)
        if problem is not None:
            sys.stdout.write(f"{wrapper}: {problem[0]}\n")
            sys.exit(problem[1])
        os.execv(wrapper, [wrapper, sys.executable, "-S", "-B", script])
    bootstrap = import_module("bootstrap")
    # A function may have a module of this name, and it is the one that an import must find.
    del sys.modules["bootstrap"]
    bootstrap.add_builtins()
    bootstrap.main()


if __name__ == "__main__":
    main()
