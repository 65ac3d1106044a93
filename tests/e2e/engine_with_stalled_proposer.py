"""A real `adgram serve`, except that its proposer never answers; for the test of the fallback."""

import threading

from adgram.core.decision import Proposal
from adgram.core.ports import ProposalContext
from adgram.core.snapshot import Snapshot
from adgram.generative import proposer
from adgram.programs.cli import main


class StalledProposer:
    """Takes a request and keeps it for ever."""

    model = "stalled"

    def warm(self, snapshot: Snapshot) -> None:
        """Needs nothing from memory."""

    def propose(self, context: ProposalContext) -> Proposal:
        threading.Event().wait()
        raise AssertionError("waits for ever")


if __name__ == "__main__":
    proposer.load_proposer = lambda folder, config: StalledProposer()
    main()
