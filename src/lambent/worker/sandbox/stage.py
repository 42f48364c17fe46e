"""The launcher's private mount namespace, and the stage in it: a tmpfs with what sandboxes are made of, and where the
root of each template is built.

As all of it lives in a namespace of its own, the machine's mount table never shows it and nothing is left of it when
the launcher is gone, however it went.

An ordinary user gets the same by way of a user namespace in which only the own user id exists.
"""

import hashlib
import os
import shutil
import subprocess

from lambent.worker.sandbox import kernel

# Covered by the stage inside the private namespace only. Nobody keeps code or data to be run there.
_PLACES = ("/dev/shm", "/mnt", "/run")
DEVICES = ("null", "zero", "full", "random", "urandom")
_FROM_HOST_ETC = ("ssl/certs", "ssl/openssl.cnf", "pki/tls/certs", "pki/ca-trust", "ca-certificates")
_COPIED_FROM_ETC = ("ld.so.cache", "localtime")
_INODES_A_MIB = 256
"""One for each page: files with something in them fill a tmpfs by their size before. Empty ones take kernel memory, and
a tmpfs would have as many as go into half of the machine's."""

USER, USER_ID, GROUP_ID = "sbx_user1051", 993, 990
HOSTNAME = "169-254-100-6"

_ETC = {
    "passwd": f"root:x:0:0:root:/root:/sbin/nologin\n{USER}:x:{USER_ID}:{GROUP_ID}::/home/{USER}:/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    "group": f"root:x:0:\n{USER}:x:{GROUP_ID}:\nnogroup:x:65534:\n",
    "hosts": f"127.0.0.1 localhost sandbox.localdomain sandbox {HOSTNAME}\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n",
    "resolv.conf": "",
    "protocols": "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\n",
    "services": "domain 53/udp\nhttp 80/tcp\nhttps 443/tcp\n",
}


class Stage:
    """The stage. `root` is its path in the launcher's namespace. Not usable before `enter`."""

    def __init__(self) -> None:
        self.root = next(place for place in _PLACES if os.path.isdir(place))

    def enter(self, as_root: bool) -> None:
        """Leave the machine's mount and network namespaces and build the stage. Raises OSError."""
        if not as_root:
            user, group = os.geteuid(), os.getegid()
            kernel.unshare(kernel.CLONE_NEWUSER)
            _write("/proc/self/uid_map", f"{user} {user} 1")
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/gid_map", f"{group} {group} 1")
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWNET)
        # A slave still follows what the machine mounts and unmounts (a private one would keep an unmounted disk
        # busy), and hands nothing of its own back.
        kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_SLAVE)
        kernel.mount("tmpfs", self.root, "tmpfs", kernel.MS_NOSUID, "mode=0711,size=16m")
        os.mkdir(self.path("root"), 0o755)
        self._make_devices()
        self._make_etc()

    def path(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)

    def _make_devices(self) -> None:
        os.mkdir(self.path("dev"), 0o755)
        for name in DEVICES:
            _touch(self.path("dev", name))
            kernel.mount(f"/dev/{name}", self.path("dev", name), flags=kernel.MS_BIND)
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            os.symlink(f"/proc/self/fd/{number}", self.path("dev", name))
        os.symlink("/proc/self/fd", self.path("dev", "fd"))

    def _make_etc(self) -> None:
        os.mkdir(self.path("etc"), 0o755)
        for name, text in _ETC.items():
            _write(self.path("etc", name), text)
            os.chmod(self.path("etc", name), 0o644)
        for name in _COPIED_FROM_ETC:
            if os.path.isfile(f"/etc/{name}"):
                shutil.copyfile(f"/etc/{name}", self.path("etc", name))
        for name in _FROM_HOST_ETC:
            if os.path.exists(f"/etc/{name}"):
                self._bind_beneath(f"/etc/{name}", self.path("etc", name))

    def _bind_beneath(self, source: str, target: str) -> None:
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        if os.path.isdir(source):
            os.mkdir(target, 0o755)
        else:
            _touch(target)
        kernel.mount(source, target, flags=kernel.MS_BIND)

    def file(self, name: str, text: str) -> str:
        """The path of a file below the stage with the text. It stays, and serves every sandbox that is to have it."""
        target = self.path(f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}")
        if not os.path.exists(target):
            _write(target, text)
            os.chmod(target, 0o644)
        return target

    def make_scratch(self, name: str, size_mib: int) -> str:
        """A tmpfs for a sandbox's /tmp, where a disk image can not be had."""
        target = self.path(name)
        os.mkdir(target)
        options = f"mode=1777,size={size_mib}m,nr_inodes={size_mib * _INODES_A_MIB}"
        kernel.mount("tmpfs", target, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)
        return target

    def remove(self, target: str) -> None:
        """Take a file system below the stage away."""
        kernel.unmount(target)
        os.rmdir(target)


def copy_tree(source: str, target: str) -> None:
    """Copy all that is in a directory into another one, as it is, be its owner allowed to read it or not. Raises
    OSError."""
    command = ("cp", "-a", f"{source}/.", target)
    try:
        with kernel.lent_capabilities(kernel.CAP_DAC_OVERRIDE | kernel.CAP_DAC_READ_SEARCH):
            subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise OSError(f"files could not be copied: {error.stderr.strip()}") from error


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _touch(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o644))
