"""`python -m benchmarks.one_commit_each serve ...`: Lambent with an event queue that commits each event alone, which is
what a durable queue costs without sharing commits. A reference, and nothing else."""

import sys

from lambent.__main__ import main
from lambent.store import group_commit
from lambent.store.event_queue import EventQueue


class OneCommitEach(EventQueue):
    def _hand_over(self) -> None:
        turn, self._turn = self._turn, []
        assert self._writer is not None
        for job in turn:
            self._writer.put([job])


if __name__ == "__main__":
    group_commit.LARGEST_GROUP = 1
    EventQueue._hand_over = OneCommitEach._hand_over  # type: ignore[method-assign]  # assembly names the class
    sys.exit(main())
