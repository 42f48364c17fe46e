"""`python -m benchmarks.one_commit_each serve ...`: Lambent with an event queue that commits each event alone, which is
what a durable queue costs without sharing commits. A reference, and nothing else."""

import sys

from lambent.__main__ import main
from lambent.store import event_queue, group_commit
from lambent.store.event_queue import EventQueue


class OneCommitEach(EventQueue):
    def _hand_over(self) -> None:
        assert self._writer is not None
        for job in self._group:
            self._writer.put([job])
        self._group, self._puts, self._handing_over = [], 0, None


if __name__ == "__main__":
    group_commit.LARGEST_GROUP = 1
    event_queue.GATHER_S = 0
    EventQueue._hand_over = OneCommitEach._hand_over  # type: ignore[method-assign]  # assembly names the class
    sys.exit(main())
