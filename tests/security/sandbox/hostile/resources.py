"""Using more of something than a function has. Every program is bounded, as the controls run on the machine itself."""

from hostile.probe import Caged, Probe, Unisolated

_CAP_SYS_RESOURCE = 24
_NO_MEMORY_LIMIT = "Memory is bounded per process"

PROBES = (
    Probe(
        "memory",
        "use 256 MiB where 128 MiB are allowed",
        """
        def attempt():
            block = bytearray(256 << 20)
            for place in range(0, len(block), 4096):
                block[place] = 1
            return True
        """,
        Unisolated(),
        limits={"memory_mib": 128},
        killed_by=9,
        unless_told=_NO_MEMORY_LIMIT,
    ),
    Probe(
        "memory of several processes",
        "use 256 MiB in four processes where 128 MiB are allowed",
        """
        import signal
        def attempt():
            left, right = os.pipe()
            children = []
            for _ in range(4):
                child = os.fork()
                if not child:
                    block = bytearray(64 << 20)
                    for place in range(0, len(block), 4096):
                        block[place] = 1
                    os.write(right, b'1')
                    signal.pause()
                children.append(child)
            os.close(right)
            # Ends short of four when one of them is killed: then the others are, too.
            had = 0
            while had < 4 and not os.waitpid(-1, os.WNOHANG)[0]:
                import select
                if select.select([left], [], [], 0.05)[0]:
                    had += len(os.read(left, 1))
            for child in children:
                os.kill(child, signal.SIGKILL)
            return had == 4
        """,
        Unisolated(),
        limits={"memory_mib": 128},
        killed_by=9,
        unless_told=_NO_MEMORY_LIMIT,
    ),
    Probe(
        "memory of no process",
        "keep 256 MiB in files that are memory (memfd) where 128 MiB are allowed",
        """
        def attempt():
            file = os.memfd_create('hostile')
            for _ in range(256):
                os.write(file, bytes(1 << 20))
            return True
        """,
        Unisolated(),
        limits={"memory_mib": 128},
        killed_by=9,
        unless_told=_NO_MEMORY_LIMIT,
    ),
    Probe(
        "address space",
        "reserve far more than its memory, where that is all that can be bounded",
        """
        import mmap
        def attempt(): return len(mmap.mmap(-1, 2 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        """,
        Unisolated(),
        limits={"memory_mib": 256},
        where_told=_NO_MEMORY_LIMIT,
    ),
    Probe(
        "processes",
        "have 200 processes where 64 are allowed",
        """
        import signal
        def attempt():
            children = []
            try:
                for _ in range(200):
                    child = os.fork()
                    if not child:
                        signal.pause()
                    children.append(child)
            except OSError:
                pass
            for child in children:
                os.kill(child, signal.SIGKILL)
            return len(children) >= 64 and len(children)
        """,
        Unisolated(),
        limits={"processes": 64},
    ),
    Probe(
        "threads",
        "have 200 threads where 64 are allowed",
        """
        import threading
        def attempt():
            over, had = threading.Event(), 0
            try:
                for had in range(200):
                    threading.Thread(target=over.wait, daemon=True).start()
            except RuntimeError:
                pass
            over.set()
            return had >= 64 and had
        """,
        Unisolated(),
        limits={"processes": 64},
    ),
    Probe(
        "file descriptors",
        "have more than 1,024 files open",
        """
        import resource
        def attempt():
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (1100, 1100))
            except (OSError, ValueError):
                pass
            files = []
            try:
                while len(files) < 1050:
                    files.append(os.open('/dev/null', os.O_RDONLY))
            except OSError:
                pass
            return len(files) == 1050
        """,
        Unisolated(),
    ),
    Probe(
        "space in /tmp",
        "write 128 MiB to a /tmp of 64 MiB",
        """
        def attempt():
            with open(TMP + '/big', 'wb', buffering=0) as file:
                os.unlink(TMP + '/big')
                return sum(file.write(bytes(1 << 20)) for _ in range(128)) == 128 << 20
        """,
        Unisolated(),
        limits={"ephemeral_mib": 64},
    ),
    Probe(
        "files in /tmp",
        "make 10,000 empty files in a /tmp of 16 MiB: each is memory of the kernel, or a place on the disk",
        """
        import shutil
        def attempt():
            os.mkdir(TMP + '/many')
            try:
                for number in range(10000):
                    os.close(os.open(f'{TMP}/many/{number}', os.O_CREAT | os.O_WRONLY))
                return number
            finally:
                shutil.rmtree(TMP + '/many')
        """,
        Unisolated(),
        limits={"ephemeral_mib": 16},
    ),
    Probe(
        "core dumps",
        "have the kernel write one",
        """
        import resource, signal
        def attempt():
            os.chdir(TMP)
            child = os.fork()
            if not child:
                hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
                resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
                os.kill(os.getpid(), signal.SIGQUIT)
            return os.WCOREDUMP(os.waitpid(child, 0)[1])
        """,
        Unisolated(),
    ),
    Probe(
        "the machine's program for crashes",
        "have it started as root with a crash of its own: by no limit but 1 the kernel is kept from that",
        """
        import resource
        def attempt():
            try:
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            except (OSError, ValueError):
                pass
            return resource.getrlimit(resource.RLIMIT_CORE)[0] != 1
        """,
        Caged(("the filter",)),
    ),
    Probe(
        "a pipe of any size",
        "have the kernel keep 16 MiB in one pipe",
        """
        import fcntl
        def attempt(): return fcntl.fcntl(os.pipe()[1], 1031, 16 << 20)
        """,
        Unisolated(right=_CAP_SYS_RESOURCE),
    ),
)
