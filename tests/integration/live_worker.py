"""A `lambent worker` process, for servers whose worker is in a process of its own."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Worker:
    """`arguments` are further flags."""

    data_dir: Path
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[str] = field(init=False)

    @property
    def socket(self) -> Path:
        return self.data_dir.with_name("worker.sock")

    def start(self) -> "Worker":
        command = [sys.executable, "-m", "lambent", "worker", "--socket", str(self.socket)]
        with open(self.data_dir.with_name("worker.log"), "ab") as log:
            self.process = subprocess.Popen(
                [*command, "--data-dir", str(self.data_dir), *self.arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said.startswith("Lambent's worker is ready"), self.data_dir.with_name("worker.log").read_text()
        return self

    def end(self, number: int) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code
