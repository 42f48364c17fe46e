"""How many descriptors this process may have open, and the launcher, which inherits that; how many environments it is
good for. Functions have a limit of their own (`sandbox/driver.py`)."""

import resource

_AT_MOST = 1 << 20
"""More are never needed, and there are programs that try to close every one that they may have."""

_OF_SERVER, _OF_ENVIRONMENT = 128, 8
"""What a server has open, and what one environment at work adds: two listeners, its output, two files of its control
groups, its runtime's connection and the caller's, perhaps its own to Lambent's endpoint. The launcher has fewer."""


def raise_to_most() -> None:
    """Take what the hard limit allows: the soft one is 1,024 nearly everywhere, for the sake of programs that use
    select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _most(hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def most() -> int:
    """What a server that is started here may have open."""
    return _most(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def environments_within(descriptors: int) -> int:
    return max(0, descriptors - _OF_SERVER) // _OF_ENVIRONMENT


def enough_for(environments: int) -> int:
    return _OF_SERVER + environments * _OF_ENVIRONMENT


def _most(hard: int) -> int:
    return _AT_MOST if hard == resource.RLIM_INFINITY else min(hard, _AT_MOST)
