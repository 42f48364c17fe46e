"""New namespaces, which give rights in them, and changes to what is mounted."""

from hostile.probe import Caged, Probe

_WITHOUT_FILTER = Caged(("the filter",))
_WITH_RIGHTS = Caged(("the filter", "the capability drop"))

PROBES = (
    Probe(
        "a user namespace",
        "become root in one of its own",
        "def attempt(): call('unshare', 0x10000000); return True",
        _WITHOUT_FILTER,
    ),
    Probe(
        "a child in a user namespace",
        "the same by clone",
        """
        import signal
        def attempt():
            child = call('clone', 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
            return child
        """,
        _WITHOUT_FILTER,
    ),
    Probe(
        "a child in a user namespace, by clone3",
        "the same by the call whose flags a filter can not read",
        """
        import struct
        def attempt():
            wanted = struct.pack('=8Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0)
            child = call('clone3', ctypes.create_string_buffer(wanted), 64)
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
            return child
        """,
        _WITHOUT_FILTER,
    ),
    Probe(
        "a mount",
        "cover a directory by a file system of its own",
        "def attempt(): call('mount', b'none', b'/opt', b'tmpfs', 0, None); return True",
        _WITH_RIGHTS,
    ),
    Probe(
        "a remount",
        "make a read-only mount one that can be written to",
        """
        def attempt():
            call('mount', b'none', b'/opt', None, 32 | 4096, None)
            open('/opt/hostile', 'w')
            return True
        """,
        _WITH_RIGHTS,
    ),
    Probe(
        "a mount by the newer calls",
        "mount by fsopen, fsconfig, fsmount and move_mount",
        """
        def attempt():
            context = call('fsopen', b'tmpfs', 0)
            call('fsconfig', context, 6, None, None, 0)
            call('move_mount', call('fsmount', context, 0, 0), b'', -100, b'/opt', 4)
            return True
        """,
        _WITH_RIGHTS,
    ),
    Probe(
        "a copy of a mount",
        "clone a mount by open_tree, to have it elsewhere",
        "def attempt(): return call('open_tree', -100, b'/opt', 1)",
        _WITH_RIGHTS,
    ),
    Probe(
        "an unmount",
        "look below what covers a directory",
        """
        def attempt():
            for place in (b'/opt', b'/tmp', b'/proc', b'/etc', b'/dev'):
                try:
                    call('umount2', place, 2)
                    return place
                except OSError:
                    continue
        """,
        _WITH_RIGHTS,
    ),
    Probe(
        "another /proc",
        "mount a /proc, to see what its own hides",
        "def attempt(): call('mount', b'none', b'/opt', b'proc', 0, None); return True",
        _WITH_RIGHTS,
    ),
    Probe(
        "a change of the root",
        "leave the root directory by chroot from outside of the new one",
        """
        def attempt():
            outside = os.open('/', os.O_RDONLY)
            call('chroot', TMP.encode())
            os.chdir(f'/proc/self/fd/{outside}') if os.path.exists('/proc') else os.fchdir(outside)
            return os.listdir('.')
        """,
        _WITH_RIGHTS,
    ),
    Probe(
        "namespaces of another process",
        "enter a namespace of any process it sees",
        """
        def attempt():
            for process in filter(str.isdigit, os.listdir('/proc')):
                for name in ('uts', 'ipc', 'net', 'mnt', 'pid', 'cgroup', 'user'):
                    try:
                        call('setns', os.open(f'/proc/{process}/ns/{name}', os.O_RDONLY), 0)
                        return process, name
                    except OSError:
                        continue
        """,
        _WITH_RIGHTS,
    ),
)
