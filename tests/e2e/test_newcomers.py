"""New items under exploration, in the served engine: offered, drawn by what was seen of them, on record."""

from pathlib import Path

import pytest

from adgram.core.catalogue import Item
from adgram.core.event import Topic
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.core.request import Size, Viewer

pytestmark = pytest.mark.e2e
SIZE = Size(127, 131)  # nobody else's: admission leaves only these items


def test_the_new_item_that_people_click_is_offered_more(scene, trained: Path, write_config, eventually) -> None:
    """Of two new items alike, told of forty impressions each and thirty clicks of one, the engine comes to draw that
    one, and the record says with which probability."""
    config = write_config(trained / "newcomers.toml", engine="newcomer_share = 0.999\nnewcomer_taken = 1.0")
    address = scene.deployment.start_engine("engine-newcomers", config)
    kind = next(item for item in scene.marketplace.items() if item.brand)
    for name in ("liked", "ignored"):
        scene.advertise(Item(name, f"Launched {kind.title}", kind.category, kind.brand), SIZE, "launcher")
    scene.flush()
    eventually(lambda: scene.explained(scene.request(SIZE), address).admitted["1"] == 2, 30.0)
    for name, clicks in (("liked", 30), ("ignored", 0)):
        told = [(FeedbackKind.BILLING, number) for number in range(40)]
        told += [(FeedbackKind.CLICK, number) for number in range(clicks)]
        for kind_told, number in told:
            value = Feedback(kind_told, f"viewer{number}", name, bid_id=f"{name}-{number}")
            scene.publish(Topic.FEEDBACK, f"viewer{number}", value)
    scene.flush()

    def drawn() -> bool:
        record = scene.explained(scene.request(SIZE, viewer=Viewer("somebody"), test=False), address)
        tier = record.tiers[0]
        chosen = [bid.ad.item_id for bid in record.bids]
        return tier.tier == "newcomers" and chosen == ["liked"] and record.propensity["1"] > 0.9

    eventually(drawn, 30.0)
