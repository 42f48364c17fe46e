"""The launcher's way of running programs in containers that an OCI runtime makes: one for each program.

Limits, /tmp, users, control groups and listeners are those of `confinement.py`; what is another is how the processes
come to be. Nothing of the customer runs before the listeners exist: a container is created when a start is asked for,
and started when they are made. See `keeper.py`.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lambent.worker.sandbox import bundle, keeper, kernel, seccomp, seccomp_profile, view
from lambent.worker.sandbox.confinement import Confinement
from lambent.worker.sandbox.loop import Loop
from lambent.worker.sandbox.run import Cell, Run, new_run
from lambent.worker.sandbox.stage import GROUP_ID, USER_ID

_OPTIONS = {"crun": ("--cgroup-manager=disabled",)}
"""The control groups are ours. Others find that they may not make any, and go on."""


class Containers(Confinement):
    """Owns a bundle for each sandbox, beside what `Confinement` owns."""

    end_signal = signal.SIGTERM
    """A keeper has to take a container away."""

    def __init__(self, configuration: dict[str, Any], loop: Loop) -> None:
        super().__init__(configuration, loop)
        self._runtime: str = configuration["runtime"]
        self._options = _OPTIONS.get(configuration["runtime_kind"], ())
        self._command: tuple[str, ...] = ()
        self._wants_user_0 = configuration["runtime_kind"] != "crun"
        machine = os.uname().machine
        self._profile = seccomp_profile.profile(machine) if machine in seccomp.ARCHITECTURES else None

    def open(self) -> dict[str, Any]:
        told = super().open()
        # Where every user can come to it: the directories above it may be their owner's alone.
        shown = self._stage.path("runtime")
        os.close(os.open(shown, os.O_CREAT | os.O_CLOEXEC, 0o644))
        view.show(self._runtime, shown, kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV)
        self._command = (shown, *self._options)
        bundles = self._stage.path("bundles")
        os.mkdir(bundles)
        # Apart from the stage: a runtime writes what it likes to know of a container into its bundle.
        kernel.mount("tmpfs", bundles, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC, "mode=0711")
        told["found"]["user"] = str(USER_ID)
        if not self._as_root and self._wants_user_0:
            told["found"]["user"] = ""
            told["missing"].append(
                f"Functions run as user 0 of their own user namespace, without any of its rights: {self._runtime} "
                "needs that user, and an ordinary user can have no second one."
            )
        return told

    def spawn(self, cell: Cell, request: dict[str, Any], born: Callable[[Run], None]) -> Run:
        del born  # it is known at once
        if request["snapshot"]:
            raise OSError("in a container of an OCI runtime a program can not be a template")
        run, given = new_run()
        try:
            with contextlib.ExitStack() as stack:
                _, birth = stack.enter_context(cell.group.opened()) if cell.group is not None else ([], -1)
                run.process = self._start_keeper(self._order(cell, request, given, birth))
        except OSError:
            run.close()
            raise
        finally:
            for descriptor in given:
                os.close(descriptor)
        return run

    def _order(self, cell: Cell, request: dict[str, Any], given: list[int], birth: int) -> keeper.Order:
        place = self._new_bundle(cell)
        group = cell.group
        users, groups, user = self._users(cell)
        control, status, output = given
        return keeper.Order(
            runtime=self._command,
            bundle=place,
            nothing=self._stage.path("nothing"),
            configure=partial(self._configure, cell, self._shown(cell), request, user, place),
            program=request["command"][0],
            users=users,
            groups=groups,
            inside=self._as_root or self._wants_user_0,
            alone=not self._as_root,
            birth=birth,
            joins=tuple(f"{directory}/cgroup.procs" for directory in group.directories) if group is not None else (),
            control=control,
            status=status,
            output=output,
        )

    @staticmethod
    def _start_keeper(order: keeper.Order) -> int:
        launcher = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        try:
            process = os.fork()
            if not process:
                keeper.keep(order, launcher)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        return process

    def _new_bundle(self, cell: Cell) -> str:
        place = self._bundle(cell)
        shutil.rmtree(place, ignore_errors=True)  # a keeper that was killed has left it
        os.mkdir(place, 0o700)
        if self._as_root:
            os.chown(place, self._zygotes_user, self._zygotes_user)
        return place

    def _bundle(self, cell: Cell) -> str:
        return self._stage.path("bundles", cell.name)

    def _users(self, cell: Cell) -> tuple[str, str, tuple[int, int]]:
        """The maps of users and groups of its user namespace, and whom the program is inside."""
        if self._as_root:
            owner = self._zygotes_user
            users, groups = (f"0 {owner} 1\n{inside} {cell.uid} 1" for inside in (USER_ID, GROUP_ID))
            return users, groups, (USER_ID, GROUP_ID)
        user = (0, 0) if self._wants_user_0 else (USER_ID, GROUP_ID)
        return f"{user[0]} {os.geteuid()} 1", f"{user[1]} {os.getegid()} 1", user

    def _configure(
        self,
        cell: Cell,
        own: Mapping[str, str],
        request: dict[str, Any],
        user: tuple[int, int],
        place: str,
        namespaces: Mapping[str, str],
    ) -> dict[str, Any]:
        """In the keeper's mount namespace: show what the container is to see, where the runtime may look for it."""
        mounts = []
        for number, (target, source) in enumerate(own.items()):
            shown = f"{place}/mount-{number}"
            if os.path.isdir(source):
                os.mkdir(shown)
            else:
                os.close(os.open(shown, os.O_CREAT | os.O_CLOEXEC, 0o644))
            view.show(source, shown, kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV)
            mounts.append((shown, target))
        places = bundle.Places(
            root=self._build_root(cell.request["template"]),
            dev=self._stage.path("dev"),
            scratch=cell.scratch,
            mounts=tuple(mounts),
        )
        return bundle.configuration(places, request, user, self._limits(cell), namespaces, self._profile)

    def first_process(self, run: Run) -> int:
        return int(run.word("holder") or 0)

    def _mount(self, cell: Cell, run: Run) -> None:
        """The runtime has done it."""

    def exited(self, cell: Cell, run: Run) -> None:
        """Its keeper takes the container away."""

    def destroy(self, cell: Cell) -> None:
        super().destroy(cell)
        shutil.rmtree(self._bundle(cell), ignore_errors=True)
