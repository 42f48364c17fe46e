"""Services of the machine, other networks, and memory that processes share."""

from pathlib import Path

from hostile.probe import Caged, Probe, Unisolated


def _no_route() -> str:
    routes = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    return "" if any(route[1] == "00000000" for route in routes) else "the machine has no default route"


PROBES = (
    Probe(
        "a local service",
        "connect to a service on the machine's 127.0.0.1",
        """
        import socket
        def attempt(port): return socket.create_connection(('127.0.0.1', int(port)), 5).recv(5)
        """,
        Unisolated(),
        ("{port}",),
    ),
    Probe(
        "an abstract socket",
        "connect to a service by a name that lies in no directory",
        """
        import socket
        def attempt(name):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect('\\0' + name)
            return True
        """,
        Unisolated(),
        ("{abstract}",),
    ),
    Probe(
        "a socket in a directory",
        "connect to a service such as Docker's by the path of its socket",
        """
        import socket
        def attempt(path):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(path)
            return True
        """,
        Unisolated(),
        ("{socket}",),
    ),
    Probe(
        "another network",
        "find a way to another network, or to the address at which clouds tell of their machines",
        # Connecting a datagram socket sends nothing: it succeeds where there is a route.
        """
        import socket
        def attempt():
            for address in ('192.0.2.1', '169.254.169.254', '10.0.0.1'):
                try:
                    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect((address, 80))
                    return address
                except OSError:
                    continue
        """,
        Unisolated(missing=_no_route),
    ),
    Probe(
        "a raw socket",
        "write its own IP packets, and read those of others",
        """
        import socket
        def attempt():
            for protocol in (1, 255):
                try:
                    return socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol).fileno()
                except OSError:
                    continue
        """,
        Caged(("the capability drop",)),
    ),
    Probe(
        "a packet socket",
        "read whole frames",
        """
        import socket
        def attempt(): return socket.socket(17, socket.SOCK_RAW, 0x300).fileno()
        """,
        Caged(("the filter", "the capability drop")),
    ),
    Probe(
        "its network devices",
        "change the addresses or the state of its network",
        """
        import socket, struct
        def attempt():
            import fcntl
            control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            fcntl.ioctl(control, 0x8922, struct.pack('16si12x', b'lo', 1400))
            return True
        """,
        Caged(("the capability drop",)),
    ),
    Probe(
        "shared memory by key",
        "attach to System V shared memory of the machine",
        "def attempt(key): return libc.shmget(int(key), 0, 0) >= 0",
        Unisolated(),
        ("{shared_memory}",),
    ),
    Probe(
        "a message queue by key",
        "open a System V queue of the machine",
        "def attempt(key): return libc.msgget(int(key), 0) >= 0",
        Unisolated(),
        ("{queue}",),
    ),
    Probe(
        "/dev/shm",
        "use or fill the memory that all programs share",
        """
        def attempt(name):
            path = '/dev/shm/hostile-' + name
            open(path, 'w').close()
            os.unlink(path)
            return True
        """,
        Unisolated(),
        ("{mark_one}",),
    ),
)
