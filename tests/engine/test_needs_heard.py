"""What was searched for reaches the proposer."""

import asyncio

from adgram.core.clock import Deadline, SystemClock
from adgram.core.request import Page, Viewer


def test_the_learned_proposer_is_told_what_was_searched_for(bench, make) -> None:
    """The page's search, else the viewer's keywords, else nothing, come with the history."""
    heard: list[str] = []

    class ListeningProposer(make.ScriptedProposer):
        """Remembers the needs it was told."""

        def propose(self, context):
            heard.append(context.need)
            return super().propose(context)

    for request in (
        make.bid_request(page=Page("shop.example", search="轻便跑步鞋")),
        make.bid_request(viewer=Viewer("u", ("kites",))),
        make.bid_request(),
    ):
        pipeline = bench(make.catalogue(), ListeningProposer()).pipeline
        asyncio.run(pipeline.decide(request, Deadline.after_ms(10_000, SystemClock())))
    assert heard == ["轻便跑步鞋", "kites", ""]
