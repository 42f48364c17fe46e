"""Two sandboxes with one network, in a process of their own, which may be an ordinary user's."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from lambent.core.network import Network
from lambent.testing import machines
from lambent.testing.machines import PORT

# Two sandboxes with one network. A line of input names one of them, a script, its arguments, and what it says before
# it is left alone; without that it is run to its end.
BENCH = """
import asyncio, json, sys
from pathlib import Path
import msgspec
from lambent.core.network import Network
from lambent.testing.sandboxes import open_bench
from lambent.worker.sandbox.driver import SandboxError
async def main():
    network = msgspec.json.decode(sys.argv[2], type=Network)
    async with open_bench("namespaces", Path(sys.argv[1])) as bench:
        boxes = [await bench.create(network=network) for _ in range(2)]
        print(bench.driver.launcher_pid, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            box, script, arguments, says = json.loads(line)
            try:
                if says:
                    started = await bench.start(boxes[box], bench.python, "-I", "-c", script, *arguments)
                    output = await started.says(says)
                else:
                    output = (await bench.probe(boxes[box], script, *arguments)).output
            except SandboxError as error:
                output = str(error)
            print(json.dumps(output), flush=True)
        for box in boxes:
            await box.destroy()
asyncio.run(main())
"""

CONNECT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1.5) as connection:
        print("seen as", connection.recv(99).decode())
except OSError as error:
    print("no:", error)
"""

LISTEN = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.connect(("93.184.216.34", 1))
    address = asking.getsockname()[0]
listener = socket.create_server(("0.0.0.0", 8080))
print("listening at", address, ".", flush=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(b"a sandbox")
    connection.close()
"""


class SandboxPair:
    """The bench's process, and the router of its launcher."""

    def __init__(self, data_dir: Path, network: Network, become: Callable[[], None] | None) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, "-c", BENCH, str(data_dir), msgspec.json.encode(network).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=become,
        )
        self.launcher = int(self._answer())

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def run(self, script: str, *arguments: str, box: int = 0, says: str = "") -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([box, script, arguments, says]) + "\n")
        self.process.stdin.flush()
        answer: str = json.loads(self._answer())
        return answer

    def reach(self, address: str, port: int = PORT) -> bool:
        told = self.run(CONNECT, address, str(port))
        assert told.startswith(("seen as", "no:")), told
        return told.startswith("seen as")

    def listen(self) -> str:
        """The second sandbox listens. Returns its address."""
        return self.run(LISTEN, box=1, says=" .").split()[2]

    def in_router(self, *command: str) -> str:
        for descriptor in Path(f"/proc/{self.launcher}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if not str(descriptor.readlink()).startswith("net:["):
                    continue
                inside = ("nsenter", f"--net={descriptor}")
                if "uplink" in machines.run(*inside, "ip", "-brief", "link"):
                    return machines.run(*inside, *command)
        raise AssertionError("there is no router")

    def let_all_out(self) -> None:
        """Take away what keeps the network of this bench from anything."""
        self.in_router("nft", "flush chain inet lambent network-1; add rule inet lambent network-1 accept")

    def close(self) -> int:
        """Let it take everything away and end. Returns its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self._ended()

    def kill(self) -> None:
        """The crash of the server."""
        assert self.process.stdin is not None
        self.process.kill()
        self.process.stdin.close()
        self._ended()

    def _ended(self) -> int:
        assert self.process.stdout is not None
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        return code
