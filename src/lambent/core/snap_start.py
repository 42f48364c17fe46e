"""SnapStart: from which template the environments of a version are restored, and what waits for it. Pure.

A version that has it is initialised once, in a *template*; its environments are restored from that. Pools and
environments are those of `core.assignment`, a template is known by an id of its own: one that is made anew is another
one. An environment that is to be started while there is no template is *held* until there is. Where the worker can not
make templates, environments are initialised as those of other versions are.

What the function itself is at fault for is not tried again before somebody needs it; what the machine is at fault for,
at the next look. Source: developer guide, "Improving startup performance with Lambda SnapStart".
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from lambent.core.record import Record

MADE_AT_ONCE = 2
"""Of the templates that nobody waits for: after a restart there may be many, and they are not to be in the way."""


class Snapshot(Enum):
    """What has come of the wish for a template."""

    MADE = auto()
    NORMALLY = auto()
    """There are no templates here: environments are initialised as they always are."""
    FAILED = auto()
    """The function could not be initialised."""


class NotKept(Exception):
    """The function was initialised, and the platform could not keep what has come of it. The message says why."""


class Hold(Record, frozen=True):
    """The environment is to be started later. `make` is the template that is to be made now, if any."""

    make: str | None = None


class RestoreFrom(Record, frozen=True):
    template_id: str


class Initialise(Record, frozen=True):
    """As if it had no SnapStart."""


Decision = Hold | RestoreFrom | Initialise


class Released(Record, frozen=True):
    """What a version leaves that is gone: its template, if there is one, and the environments that waited for it."""

    template_id: str | None = None
    held: tuple[str, ...] = ()


@dataclass(slots=True)
class _Version:
    template_id: str | None = None
    """The template that there is, or that is being made."""
    snapshot: Snapshot | None = None
    """None while it is not known."""
    held: list[str] = field(default_factory=list)

    def take_held(self) -> tuple[str, ...]:
        held, self.held = tuple(self.held), []
        return held


class Templates:
    """The versions that are to have a template, by pool."""

    def __init__(self) -> None:
        self._versions: dict[str, _Version] = {}
        self._pool_of: dict[str, str] = {}
        """The pool of each template."""

    def __contains__(self, pool_id: str) -> bool:
        return pool_id in self._versions

    def pool_of(self, template_id: str) -> str | None:
        return self._pool_of.get(template_id)

    def snapshot_of(self, pool_id: str) -> Snapshot | None:
        version = self._versions.get(pool_id)
        return None if version is None else version.snapshot

    def held(self) -> set[str]:
        """The environments that are to be started when there is a template."""
        return {environment_id for version in self._versions.values() for environment_id in version.held}

    def want(self, pool_id: str) -> Snapshot | None:
        """The version is to have a template. Returns what is known of it already."""
        return self._versions.setdefault(pool_id, _Version()).snapshot

    def release(self, pool_id: str) -> Released:
        """The version needs no template any more."""
        version = self._versions.pop(pool_id, None)
        if version is None:
            return Released()
        if version.template_id is not None:
            del self._pool_of[version.template_id]
        return Released(version.template_id, version.take_held())

    # What is to be done -------------------------------------------------------------------------------------------

    def start(self, pool_id: str, environment_id: str, new_id: Callable[[], str]) -> Decision:
        """An environment of a version that is in here is to be started."""
        version = self._versions[pool_id]
        if version.snapshot is Snapshot.NORMALLY:
            return Initialise()
        if version.snapshot is Snapshot.MADE:
            assert version.template_id is not None, "a template was made, and is not there"
            return RestoreFrom(version.template_id)
        version.held.append(environment_id)
        return Hold(self._make(pool_id, version, new_id) if version.template_id is None else None)

    def make(self, pool_id: str, new_id: Callable[[], str]) -> str | None:
        """The template, of this id, that is to be made now because somebody asks for it; None if one is under way."""
        version = self._versions[pool_id]
        return self._make(pool_id, version, new_id) if version.template_id is None else None

    def to_make(self, new_id: Callable[[], str]) -> list[tuple[str, str]]:
        """Pools and the templates that are to be made of them now, for nobody in particular."""
        under_way = sum(one.template_id is not None and one.snapshot is None for one in self._versions.values())
        missing = (
            (pool_id, version)
            for pool_id, version in self._versions.items()
            if version.template_id is None and version.snapshot is None
        )
        return [
            (pool_id, self._make(pool_id, version, new_id))
            for pool_id, version in list(missing)[: max(0, MADE_AT_ONCE - under_way)]
        ]

    def _make(self, pool_id: str, version: _Version, new_id: Callable[[], str]) -> str:
        template_id = new_id()
        version.template_id, version.snapshot = template_id, None
        self._pool_of[template_id] = pool_id
        return template_id

    # What happens. Each returns the environments that have waited for it -------------------------------------------

    def made(self, template_id: str) -> tuple[str, ...]:
        version = self._versions[self._pool_of[template_id]]
        version.snapshot = Snapshot.MADE
        return version.take_held()

    def impossible(self, template_id: str) -> tuple[str, ...]:
        """There are no templates of this version here."""
        return self._end(template_id, Snapshot.NORMALLY)

    def failed(self, template_id: str) -> tuple[str, ...]:
        """The function could not be initialised."""
        return self._end(template_id, Snapshot.FAILED)

    def gone(self, template_id: str) -> tuple[str, ...]:
        """The template is no more, or could not be had."""
        return self._end(template_id, None)

    def _end(self, template_id: str, snapshot: Snapshot | None) -> tuple[str, ...]:
        version = self._versions[self._pool_of.pop(template_id)]
        version.template_id, version.snapshot = None, snapshot
        return version.take_held()
