"""The server's listening socket, and who has it when we can not."""

import errno
import ipaddress
import socket
from pathlib import Path


class ListenError(Exception):
    """The address can not be listened on. The message is for the person who started the server."""


def listen(host: str, port: int, *, without_authentication_allowed: bool) -> socket.socket:
    """A listening TCP socket. Raises ListenError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise ListenError(f"the host {host!r} is not an address to listen on: {error.strerror}") from error
    if not ipaddress.ip_address(address[0]).is_loopback and not without_authentication_allowed:
        raise ListenError(
            f"{host} is not a loopback address, and requests are not authenticated yet: whoever reaches the port "
            "can run code here. To listen there all the same, add --listen-without-authentication."
        )
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            holder = _holder_of(port)
            by = f" by {holder}" if holder else ""
            raise ListenError(
                f"port {port} on {host} is taken{by}; choose another with --port, or 0 for a free one"
            ) from error
        raise ListenError(f"can not listen on {host} port {port}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


def _holder_of(port: int) -> str | None:
    """The process that listens on the port, where /proc lets us see it."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "0A":
                inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(str(link.readlink()) in inodes for link in (process / "fd").iterdir()):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
                return f"process {process.name} ({command[:100]})"
        except OSError:
            continue  # it ended, or is not ours to see
    return None


def url_of(listener: socket.socket) -> str:
    address = listener.getsockname()
    host = f"[{address[0]}]" if listener.family == socket.AF_INET6 else address[0]
    return f"http://{host}:{address[1]}"
