"""The local trail: found by id, bounded on disk, whole after a cut line."""

from dataclasses import replace
from pathlib import Path

from adgram.core.decision import DecisionRecord, NoBidReason
from adgram.core.environment import Environment
from adgram.engine.trail import Trail


def record(make, number: int) -> DecisionRecord:
    return DecisionRecord(
        decision_id=f"d{number}", decided_at=number, request=make.bid_request(), version=(1,), watermark=0,
        environment=Environment("CN"), models={}, rules=(), stops=(), pacing={}, tiers=(), bids=(),
        no_bid_reason=NoBidReason.NOTHING_ADMITTED, propensity={}, step_ms={}, took_ms=1.0,
    )  # fmt: skip


def test_a_record_is_found_again_also_after_a_restart(make, tmp_path: Path) -> None:
    """What was appended comes back equal, from the same trail and from one opened later."""
    trail = Trail(tmp_path, 10_000, 3)
    trail.append(record(make, 1))
    assert trail.find("d1") == record(make, 1) == Trail(tmp_path, 10_000, 3).find("d1")
    assert trail.find("d2") is None


def test_the_disk_is_bounded(make, tmp_path: Path) -> None:
    """Old segments leave with their records; the newest stay; the folder never holds more than its share."""
    trail = Trail(tmp_path, 2_000, 3)
    for number in range(50):
        trail.append(record(make, number))
    assert len(list(tmp_path.iterdir())) <= 3
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3 * 2_000
    assert trail.find("d0") is None
    assert trail.find("d49") == record(make, 49)


def test_a_line_cut_by_a_kill_costs_only_itself(make, tmp_path: Path) -> None:
    """After a half-written last line, the earlier records are found and new ones can be written."""
    trail = Trail(tmp_path, 10_000, 3)
    trail.append(record(make, 1))
    trail.close()
    (segment,) = tmp_path.iterdir()
    segment.write_bytes(segment.read_bytes() + b'{"decision_id": "d2", "deci')
    reopened = Trail(tmp_path, 10_000, 3)
    reopened.append(replace(record(make, 3)))
    assert reopened.find("d1") and reopened.find("d3") and reopened.find("d2") is None
