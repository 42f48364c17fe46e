"""File systems for /tmp: a disk image for each sandbox, or where that can not be had a tmpfs; and copies of those of
templates, as they were at the snapshot."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from lambent.worker.sandbox import kernel
from lambent.worker.sandbox.loop_device import ImageError, Images, copy_written_blocks
from lambent.worker.sandbox.run import Cell, Scratch
from lambent.worker.sandbox.stage import Stage, copy_tree

Aside = Callable[[Callable[[], None], Callable[[int], None]], None]
_COPIED_AT_ONCE = 1 << 20
"""Bytes, up to which a copy takes no longer than having another process make it."""


@dataclass(frozen=True, slots=True)
class _Copy:
    """One that another process makes: what that does, then either of two."""

    make: Callable[[], None]
    mount: Callable[[], Scratch]
    discard: Callable[[], None]


class Scratches:
    """Makes them below the stage. What makes, keeps or removes one may raise OSError or ImageError."""

    def __init__(self, stage: Stage, directory: str, usual_mib: int, *, as_root: bool) -> None:
        """`usual_mib` is the size that most are asked for with."""
        self._stage = stage
        self._directory = directory
        self._usual_mib = usual_mib
        self._as_root = as_root
        self._images: Images | None = None
        self._spare: Scratch | None = None
        self._made = 0

    @property
    def on_disk(self) -> bool:
        return self._images is not None

    def open(self) -> list[str]:
        """Find out what can be had. Returns the protections that can not."""
        if not self._as_root:
            return ["/tmp is memory (a tmpfs of the configured size), not disk: only root may attach disk images."]
        images = Images(self._directory)
        trial = self._stage.path("trial")
        os.mkdir(trial)
        try:
            images.check()
            os.close(images.mount(trial, 16))
        except (ImageError, OSError) as error:
            os.rmdir(trial)
            return [f"/tmp is memory (a tmpfs of the configured size), not disk: {error}."]
        self._stage.remove(trial)
        self._images = images
        return []

    def make(self, name: str, size_mib: int) -> Scratch:
        if self._spare is not None and size_mib == self._usual_mib:
            scratch, self._spare = self._spare, None
            return scratch
        images = self._images
        if images is None:
            return self._stage.make_scratch(f"tmp-{name}", size_mib), -1
        return self._mount(f"tmp-{name}", lambda path: images.mount(path, size_mib))

    def prepare(self) -> None:
        """Have one ready for the next sandbox, off its way: an image is attached and mounted in some milliseconds, of
        which the kernel waits most for itself. A tmpfs is made at once."""
        if self._images is not None and self._spare is None:
            with contextlib.suppress(OSError, ImageError):  # who needs it tries again, and is told
                self._spare = self.make(f"spare-{self._next()}", self._usual_mib)

    def give_copy(self, cell: Cell, template: Cell, aside: Aside, done: Callable[[str], None]) -> None:
        """Give a sandbox one like that of its template at the snapshot. `done` is told that it has it, which may be
        now, or why it can not. `aside` has another process do something that takes long, and calls what comes after it
        with that one's wait status."""
        scratch, template.spare = template.spare, None
        try:
            if scratch is None and _is_small(template.kept):
                scratch = self._copy(template)
        except (OSError, ImageError) as error:
            done(str(error))
            return
        if scratch is None:
            template.awaiting[cell] = done
            self._copy_for_those_that_wait(template, aside)
        else:
            cell.scratch, cell.image = scratch
            done("")

    def prepare_copy(self, template: Cell, aside: Aside) -> None:
        """Have one ready for the next sandbox that is restored, off its way."""
        if template.spare is not None or template.is_destroyed or template.kept is None:
            return
        with contextlib.suppress(OSError, ImageError):  # who needs it tries again, and is told
            if _is_small(template.kept):
                template.spare = self._copy(template)
            else:
                self._copy_aside(template, aside)

    def _copy_for_those_that_wait(self, template: Cell, aside: Aside) -> None:
        try:
            self._copy_aside(template, aside)
        except (OSError, ImageError) as error:
            waiting, template.awaiting = template.awaiting, {}
            for done in waiting.values():
                done(str(error))

    def _copy_aside(self, template: Cell, aside: Aside) -> None:
        """One at a time of each template: so the first that waits has its own before the last one's is begun, and no
        function has more than one process of ours."""
        if template.is_copied:
            return
        kept = template.kept
        copy = self._begin_directory(template, kept) if isinstance(kept, str) else self._begin_image(template, kept)
        template.is_copied = True
        aside(copy.make, partial(self._copied, template, copy, aside))

    def _copied(self, template: Cell, copy: "_Copy", aside: Aside, status: int) -> None:
        template.is_copied = False
        scratch, failure = None, "its /tmp could not be copied"
        try:
            if not status and (template.awaiting or (template.kept is not None and template.spare is None)):
                scratch = copy.mount()
        except (OSError, ImageError) as error:
            failure = str(error)
        if scratch is None:
            copy.discard()
        cell = next(iter(template.awaiting), None)
        if cell is None:
            template.spare = scratch or template.spare
            return
        done = template.awaiting.pop(cell)
        if template.awaiting:
            self._copy_for_those_that_wait(template, aside)
        if scratch is not None:
            cell.scratch, cell.image = scratch
        done("" if scratch is not None else failure)

    def _begin_directory(self, template: Cell, kept: str) -> "_Copy":
        path = self._stage.make_scratch(self._name_of_copy(template), template.request["ephemeral_mib"])
        return _Copy(partial(copy_tree, kept, path), lambda: (path, -1), partial(self._stage.remove, path))

    def _begin_image(self, template: Cell, kept: int | None) -> "_Copy":
        images, name = self._images, self._name_of_copy(template)
        assert images is not None
        assert kept is not None
        image = images.make_file()

        def mount(path: str) -> int:
            images.mount_image(image, path)
            return image

        return _Copy(
            partial(copy_written_blocks, kept, image), lambda: self._mount(name, mount), partial(os.close, image)
        )

    def keep(self, template: Cell) -> Callable[[], None]:
        """Have the template's /tmp kept as it is. Returns what takes long of that, for another process to do."""
        if self._images is None:
            kept = self._stage.make_scratch(f"kept-{template.name}", template.request["ephemeral_mib"])
            template.kept = kept
            return lambda: copy_tree(template.scratch, kept)
        image = template.kept = self._images.make_file()

        def copy() -> None:
            kernel.write_back(template.scratch)
            copy_written_blocks(template.image, image)

        return copy

    def remove(self, scratch: Scratch) -> None:
        path, image = scratch
        self._stage.remove(path)
        if image >= 0:
            os.close(image)

    def remove_all_of(self, cell: Cell) -> None:
        if cell.origin is not None:
            cell.origin.awaiting.pop(cell, None)
        if cell.scratch:
            self.remove((cell.scratch, cell.image))
        if cell.spare is not None:
            self.remove(cell.spare)
        if isinstance(cell.kept, str):
            self._stage.remove(cell.kept)
        elif cell.kept is not None:
            os.close(cell.kept)
        cell.kept = None

    def _copy(self, template: Cell) -> Scratch:
        name = self._name_of_copy(template)
        images, kept = self._images, template.kept
        if isinstance(kept, str):
            path = self._stage.make_scratch(name, template.request["ephemeral_mib"])
            copy_tree(kept, path)
            return path, -1
        assert images is not None
        assert kept is not None
        return self._mount(name, lambda path: images.mount_copy(path, kept))

    def _name_of_copy(self, template: Cell) -> str:
        return f"tmp-{template.name}-{self._next()}"

    def _next(self) -> int:
        self._made += 1
        return self._made

    def _mount(self, name: str, mount: Callable[[str], int]) -> Scratch:
        path = self._stage.path(name)
        os.mkdir(path)
        try:
            return path, mount(path)
        except (OSError, ImageError):
            os.rmdir(path)
            raise


def _is_small(kept: int | str | None) -> bool:
    """Of what is kept of a /tmp: an image, or a directory that is a file system."""
    if isinstance(kept, str):
        used = os.statvfs(kept)
        size = (used.f_blocks - used.f_bfree) * used.f_frsize + (used.f_files - used.f_ffree) * 4096
    else:
        size = 0 if kept is None else os.fstat(kept).st_blocks * 512
    return size <= _COPIED_AT_ONCE
