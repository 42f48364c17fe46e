"""A disk image for a sandbox's /tmp: a sparse ext4 file on the data directory's disk, attached to a loop device.

Formatting is done once per size, into a template; a sandbox's image is a copy of the template's few written blocks
into a file without a name, attached and mounted by system calls (the programs `mount` and `losetup` cost
milliseconds). The device detaches itself when it is unmounted, and the image then has no name, no user and is gone,
also when every process of ours is killed.

Only in the launcher, and only as root.
"""

import errno
import fcntl
import os
import shutil
import struct
import subprocess

from lambent.worker.sandbox import kernel

_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE = 0x4C82, 0x4C0A
_LO_FLAGS_AUTOCLEAR, _LO_FLAGS_DIRECT_IO = 4, 16
_MIB = 1 << 20
_ATTEMPTS = 64  # others on the machine may take the device between our asking and our attaching


class ImageError(Exception):
    """Disk images can not be had on this machine. The message says why."""


class Images:
    """Makes and mounts images below `directory`."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._formatter = shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin:/bin")

    def check(self) -> None:
        """Raises ImageError when this machine has no formatter or no loop devices."""
        if self._formatter is None:
            raise ImageError("mkfs.ext4 is missing (package e2fsprogs)")
        try:
            os.close(os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            raise ImageError(f"loop devices can not be used ({error.strerror})") from error

    def mount(self, target: str, size_mib: int) -> int:
        """Mount a new, empty file system with at least `size_mib` of room. Returns a descriptor of its image, which is
        the caller's. Raises OSError, ImageError."""
        image = self._copy_of_template(size_mib)
        try:
            self.mount_image(image, target)
            os.rmdir(os.path.join(target, "lost+found"))
            os.chmod(target, 0o1777)
        except (OSError, ImageError):
            os.close(image)
            raise
        return image

    def mount_copy(self, target: str, source: int) -> int:
        """Mount a copy of an image, as above."""
        image = self.make_file()
        try:
            copy_written_blocks(source, image)
            self.mount_image(image, target)
        except (OSError, ImageError):
            os.close(image)
            raise
        return image

    def make_file(self) -> int:
        """A file for an image, without a name: a descriptor. Raises OSError."""
        return os.open(self._directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def mount_image(self, image: int, target: str) -> None:
        """Mount a file that is one. Raises OSError, ImageError."""
        device, path = _attach(image)
        try:
            # `noinit_itable`: no kernel thread writes zeros into an image that lives for minutes.
            flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOATIME
            kernel.mount(path, target, "ext4", flags, "noinit_itable,nobarrier")
        finally:
            os.close(device)

    def _copy_of_template(self, size_mib: int) -> int:
        template = os.path.join(self._directory, f"tmp-{size_mib}.ext4")
        if not os.path.exists(template):
            self._format(template, size_mib)
        source = os.open(template, os.O_RDONLY | os.O_CLOEXEC)
        try:
            image = self.make_file()
            try:
                copy_written_blocks(source, image)
            except OSError:
                os.close(image)
                raise
        finally:
            os.close(source)
        return image

    def _format(self, template: str, size_mib: int) -> None:
        # Room besides the promised size: for the tables, of which the inodes (one per 16 KiB) are 1/64 of the whole,
        # and for what ext4 keeps back for itself, 1/50 and at most 16 MiB.
        unfinished = f"{template}.new"
        with open(unfinished, "wb") as file:
            file.truncate((size_mib + size_mib // 48 + min(size_mib // 48, 16) + 4) * _MIB)
        assert self._formatter is not None
        features = "^has_journal,^resize_inode"
        command = (self._formatter, "-q", "-F", "-b", "4096", "-m", "0", "-O", features)
        try:
            subprocess.run(
                (*command, "-E", "lazy_itable_init=1,nodiscard", unfinished), check=True, capture_output=True, text=True
            )
        except subprocess.CalledProcessError as error:
            raise ImageError(f"mkfs.ext4 failed: {error.stderr.strip()}") from error
        os.rename(unfinished, template)


def copy_written_blocks(source: int, image: int) -> None:
    """Copy a sparse file, and leave its holes. Several processes may copy from one descriptor at one time: its place in
    the file, which they share, does not matter."""
    size = os.fstat(source).st_size
    os.ftruncate(image, size)
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        position = os.lseek(source, start, os.SEEK_HOLE)
        while start < position:  # by reference, where the file system has that
            start += os.copy_file_range(source, image, position - start, start, start)


def _attach(image: int) -> tuple[int, str]:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            path = f"/dev/loop{number}"
            if not os.path.exists(path):
                # In a container /dev is no devtmpfs, and the node of a new device does not appear by itself.
                os.mknod(path, 0o600 | 0o060000, os.makedev(7, number))
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                for flags in (_LO_FLAGS_AUTOCLEAR | _LO_FLAGS_DIRECT_IO, _LO_FLAGS_AUTOCLEAR):
                    try:
                        fcntl.ioctl(device, _LOOP_CONFIGURE, _configuration(image, flags))
                    except OSError as error:
                        if error.errno == errno.EINVAL:
                            continue
                        raise
                    return device, path
                raise ImageError("the kernel is too old to attach a loop device in one step (before 5.8)")
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:
                    raise
    finally:
        os.close(control)
    raise ImageError("no free loop device could be had")


def _configuration(image: int, flags: int) -> bytes:
    """`struct loop_config` of linux/loop.h: fd, block size, `struct loop_info64`, reserved."""
    info = struct.pack("=5Q4I64s64s32s2Q", 0, 0, 0, 0, 0, 0, 0, 0, flags, b"lambent", b"", b"", 0, 0)
    return struct.pack("=II", image, 4096) + info + bytes(64)
