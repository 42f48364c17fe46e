"""A /tmp of the usual size is made ahead of need, where it is a disk image: each sandbox has one of its own all the
same, and one of the size that it asked for."""

import asyncio
from pathlib import Path

import pytest

from lambent.core.limits import EPHEMERAL_MIB_DEFAULT
from lambent.testing.sandboxes import Bench, open_bench

WRITE_AND_TELL = """
import os
had = os.listdir("/tmp")
open("/tmp/" + os.environ["NAME"], "w").close()
about = os.statvfs("/tmp")
print(had, (about.f_blocks * about.f_frsize) >> 20)
"""


async def tell(bench: Bench, name: str, ephemeral_mib: int) -> tuple[str, int]:
    """What a new sandbox's /tmp has in it, and its size in MiB."""
    sandbox = await bench.create(ephemeral_mib=ephemeral_mib)
    outcome = await bench.run(sandbox, bench.python, "-I", "-c", WRITE_AND_TELL, NAME=name)
    files, _, size = outcome.output.strip().rpartition(" ")
    return files, int(size)


def images_of(bench: Bench) -> int:
    """How many file systems on disk images the launcher has mounted."""
    launcher = bench.driver.launcher_pid  # type: ignore[attr-defined]
    mounts = Path(f"/proc/{launcher}/mounts").read_text().splitlines()
    return sum(line.startswith("/dev/loop") and "/tmp-" in line for line in mounts)


def test_what_was_made_ahead_is_had_by_one_sandbox_and_only_where_it_has_the_size() -> None:
    async def run() -> None:
        async with open_bench("namespaces") as bench:
            if not bench.driver.found["tmp"]:  # type: ignore[attr-defined]
                pytest.skip("/tmp is a tmpfs here, which is made at once")
            usual = EPHEMERAL_MIB_DEFAULT
            files, size = await tell(bench, "first", usual)
            images = images_of(bench)
            assert images >= 2  # its own, and the next one's
            assert (files, usual <= size < usual + 64) == ("[]", True)
            assert await tell(bench, "second", usual) == (files, size)
            assert images_of(bench) == images + 1
            files, size = await tell(bench, "small", 64)
            assert (files, 64 <= size < 80) == ("[]", True)

    asyncio.run(run())
