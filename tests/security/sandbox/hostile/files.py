"""Files of the machine, of the server and of other environments, and what a function must not write to."""

from hostile.probe import Caged, Probe, Unisolated

_CAP_MKNOD = 27

PROBES = (
    Probe(
        "a file of the machine",
        "read a file that everybody on the machine may read",
        "def attempt(path): return open(path).read()",
        Unisolated(),
        ("{canary}",),
    ),
    Probe(
        "the data directory",
        "read the server's state",
        "def attempt(path): return open(path).read()",
        Unisolated(),
        ("{state}",),
    ),
    Probe(
        "another root",
        "reach the machine's files by the root and working directories of all processes it sees",
        """
        def attempt(path):
            for process in filter(str.isdigit, os.listdir('/proc')):
                for way in ('root', 'cwd'):
                    try:
                        return open(f'/proc/{process}/{way}{"/.." * 30 if way == "cwd" else ""}{path}').read()
                    except OSError:
                        continue
        """,
        Unisolated(),
        ("{canary}",),
    ),
    Probe(
        "an inherited directory",
        "leave the sandbox by a directory that it, or any process it sees, was left with open",
        """
        def attempt(path):
            for process in filter(str.isdigit, os.listdir('/proc')):
                try:
                    descriptors = os.listdir(f'/proc/{process}/fd')
                except OSError:
                    continue
                for descriptor in descriptors:
                    try:
                        return open(f'/proc/{process}/fd/{descriptor}{"/.." * 30}{path}').read()
                    except OSError:
                        continue
        """,
        Caged(("closed descriptors",)),
        # A path that the cage has and no sandbox: what is open there is the machine's root.
        ("{beside}/canary",),
    ),
    Probe(
        "the system's directories",
        "make a file outside of /tmp",
        """
        def attempt():
            for place in ('/', '/dev', '/etc', '/opt', '/usr', '/usr/bin', '/var', '/var/task', '/proc', '/sys'):
                try:
                    os.close(os.open(place + '/hostile', os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                except OSError:
                    continue
                os.unlink(place + '/hostile')
                return place
        """,
        Caged(("read-only mounts",)),
    ),
    Probe(
        "shared code",
        "change the unpacked package, which other environments run, in one of several ways",
        """
        def attempt(path):
            ways = (
                lambda: os.close(os.open(path, os.O_WRONLY)),
                lambda: os.truncate(path, 9),
                lambda: os.chmod(path, 0o666),
                lambda: os.utime(path, (0, 0)),
                lambda: (os.rename(path, path + '.away'), os.rename(path + '.away', path)),
                lambda: os.setxattr(path, 'user.hostile', b'1'),
                lambda: open(f'/proc/self/fd/{os.open(path, os.O_RDONLY)}', 'r+'),
            )
            changed = []
            for way in ways:
                try:
                    way()
                    changed.append(way)
                except OSError:
                    continue
            return changed
        """,
        Unisolated(),
        ("/var/task/shared",),
    ),
    Probe(
        "a hard link to code",
        "give a file of the package a second name in /tmp, where it could be written to",
        """
        def attempt(path, name):
            os.link(path, name)
            os.unlink(name)
            return True
        """,
        Unisolated(),
        ("/var/task/linked", "/tmp/linked"),
    ),
    Probe(
        "device nodes",
        "make a node of the machine's memory, of its disk or of its log in /tmp",
        """
        import stat
        def attempt():
            for kind, major, minor in ((stat.S_IFCHR, 1, 1), (stat.S_IFCHR, 1, 11), (stat.S_IFBLK, 7, 0)):
                try:
                    os.mknod(TMP + '/node', kind | 0o600, os.makedev(major, minor))
                except OSError:
                    continue
                os.unlink(TMP + '/node')
                return major, minor
        """,
        Unisolated(right=_CAP_MKNOD),
    ),
    Probe(
        "devices",
        "open a device other than null, zero, full, random and urandom",
        """
        def attempt():
            for name in ('console fuse kmsg kvm loop-control loop0 mem net/tun port ptmx rtc0 sda snapshot tty vda '
                         'vhost-net vsock').split():
                try:
                    os.close(os.open('/dev/' + name, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY))
                    return name
                except OSError:
                    continue
        """,
        Unisolated(),
    ),
)
