"""Descriptors that a process keeps back: what ends a sandbox and takes it away must not fail for want of one.

Only in the launcher: it acts on the limit of the whole process, which is met where descriptors are made.
"""

import resource

KEPT_BACK = 32


class Reserve:
    """While nothing else is said, the last of the descriptors that the soft limit allows can not be had. `with` it they
    can; that may be nested."""

    def __init__(self) -> None:
        self._all, self._hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._depth = 0
        self._allow(self._all - min(KEPT_BACK, self._all // 2))

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth == 1:
            self._allow(self._all)

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._allow(self._all - min(KEPT_BACK, self._all // 2))

    def _allow(self, descriptors: int) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, self._hard))
