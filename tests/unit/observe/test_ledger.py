"""The ledger keeps each entry from the moment it is made, whatever happens to the process."""

import signal
import subprocess
import sys
from pathlib import Path

from lambent.observe.ledger import Began, Ended, Ledger, entries

ID = "0dcdbcd6-fb46-4a55-8c8f-2d3a0c1d9a11"
BEGAN = Began(ID, "123456789012", "eu-west-1", "echo", "$LATEST", 128, "x86_64", 1_700_000_000_000)
ENDED = Ended(ID, 110_100, 3_010, "success", 1_700_000_000_114, 36)


def test_entries_come_back_as_they_were_made(directory: Path) -> None:
    ledger = Ledger(directory)
    ledger.append(BEGAN)
    ledger.flush()
    ledger.append(ENDED)
    ledger.flush()
    assert list(entries(directory)) == [BEGAN, ENDED]
    ledger.close()


def test_entries_of_one_turn_are_written_together_and_in_order(directory: Path) -> None:
    ledger = Ledger(directory)
    assert ledger.append(BEGAN), "somebody must flush"
    assert not ledger.append(ENDED)
    ledger.append(BEGAN)
    assert list(entries(directory)) == []
    ledger.flush()
    assert list(entries(directory)) == [BEGAN, ENDED, BEGAN]
    assert ledger.append(ENDED)
    ledger.close()
    assert list(entries(directory)) == [BEGAN, ENDED, BEGAN, ENDED]


def test_entries_survive_the_killing_of_the_process(directory: Path) -> None:
    program = (
        "import sys, pathlib, os, signal\n"
        "from lambent.observe.ledger import Began, Ledger\n"
        "ledger = Ledger(pathlib.Path(sys.argv[1]))\n"
        f"ledger.append({BEGAN!r})\n"
        "ledger.flush()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(directory)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list(entries(directory)) == [BEGAN]


def test_a_reopened_ledger_goes_on_behind_a_torn_entry(directory: Path) -> None:
    first = Ledger(directory)
    first.append(BEGAN)
    first.flush()
    first.close()
    (file,) = directory.glob("*.jsonl")
    with file.open("ab") as torn:
        torn.write(b'{"entry":"ended","requ')
    second = Ledger(directory)
    second.append(ENDED)
    second.flush()
    second.close()
    assert list(entries(directory)) == [BEGAN, ENDED]


def test_a_full_file_is_followed_by_the_next(directory: Path) -> None:
    ledger = Ledger(directory, file_bytes=1000)
    for _ in range(10):
        ledger.append(BEGAN)
        ledger.flush()
        ledger.append(ENDED)
        ledger.flush()
    ledger.close()
    files = sorted(directory.glob("*.jsonl"))
    assert len(files) > 2
    assert all(file.stat().st_size <= 1000 for file in files)
    assert list(entries(directory)) == [BEGAN, ENDED] * 10
    again = Ledger(directory, file_bytes=1000)
    again.append(BEGAN)
    again.flush()
    again.close()
    assert len(list(entries(directory))) == 21


def test_an_entry_that_can_not_be_written_is_counted_and_harms_nobody(directory: Path) -> None:
    ledger = Ledger(directory, file_bytes=200)
    ledger.append(BEGAN)
    ledger.flush()
    (directory / "0000000002.jsonl").mkdir()
    ledger.append(ENDED)
    ledger.flush()
    assert ledger.lost_entries == 1
    (directory / "0000000002.jsonl").rmdir()
    ledger.append(ENDED)
    ledger.flush()
    ledger.close()
    assert list(entries(directory)) == [BEGAN, ENDED]
