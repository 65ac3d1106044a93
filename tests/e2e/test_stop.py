"""Kill switches: they work while the worker is dead."""

import signal
import time

import pytest

from adgram.core.catalogue import Item
from adgram.core.request import Size

pytestmark = pytest.mark.e2e
SIZE = Size(113, 113)


def test_a_stop_halts_an_advertiser_within_a_second_with_the_worker_dead(scene, run_adgram, eventually) -> None:
    """After kill -9 of the worker, `adgram stop` takes the advertiser's ads off within 1 s of the broker's
    acknowledgement,
    and lifting it brings them back."""
    scene.advertise(Item("doomed", "Desk Lamp", ("Home", "Lamps")), SIZE, "doomed")
    scene.flush()
    request = scene.request(SIZE)
    eventually(lambda: scene.bid(request).seatbid, 10)
    worker = scene.deployment.worker
    worker.process.send_signal(signal.SIGKILL)
    worker.process.wait()
    try:
        common = ("advertiser", "doomed", "--bootstrap", scene.deployment.bootstrap)
        stopped = run_adgram("stop", *common, "--reason", "fraud")
        assert stopped.returncode == 0, stopped.stderr
        began = time.monotonic()
        took_s = eventually(lambda: not scene.bid(request).seatbid, 5)
        print(f"stopped {took_s:.2f} s after the broker had it; polled for {time.monotonic() - began:.2f} s")
        assert took_s < 1.0
        assert list(scene.explained(request).stops) == ["advertiser:doomed"]
        assert run_adgram("stop", *common, "--lift").returncode == 0
        assert eventually(lambda: scene.bid(request).seatbid, 5) < 1.0
    finally:
        scene.deployment.start_worker()
