"""What the studies of training conclude from their figures, and that a stopped one goes on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from adgram.generative.decoder import DecoderShape, SemanticDecoder

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(autouse=True)
def beside_the_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Benchmarks import each other by name, as scripts do."""
    monkeypatch.syspath_prepend(str(BENCH))


def test_a_stopped_study_goes_on_and_other_settings_begin_afresh(tmp_path: Path):
    """What is on disk is not made again; a study of other settings takes nothing up."""
    from study_data import Cells

    made = []

    def make() -> dict[str, float]:
        made.append(1)
        return {"figure": 0.5}

    assert Cells(tmp_path, {"users": 5}).cell("a", make) == {"figure": 0.5}
    assert Cells(tmp_path, {"users": 5}).cell("a", make) == {"figure": 0.5}
    assert len(made) == 1
    Cells(tmp_path, {"users": 6}).cell("a", make)
    assert len(made) == 2


def test_a_law_that_is_there_is_found():
    """Floor and exponent of a power law come back from its points; a line through logarithms explains it less well."""
    from study_scaling import explained, law, slope

    x = np.array([3e3, 1e4, 3e4, 1e5, 4e5])
    loss = 5 + 2 * (x / x[0]) ** -0.5
    floor, scale, power = law(x, loss)
    assert (floor, power) == (pytest.approx(5, abs=0.01), pytest.approx(0.5, abs=0.01))
    fitted = floor + scale * (x / np.exp(np.log(x).mean())) ** -power
    straight = np.exp(np.polyval(np.polyfit(np.log(x), np.log(loss), 1), np.log(x)))
    assert explained(loss, fitted) > 0.999 > explained(loss, straight)
    assert 0 < slope(x, loss) < 0.5


def test_the_knee_is_where_more_time_stops_paying():
    """From the cheapest shape on, every doubling that gains is taken; the dear one that gains little is not."""
    from study_shapes import Point, knee

    shapes = [
        Point("small", 8, 0.2, 0.040, 0.0),
        Point("good", 32, 0.38, 0.050, 0.0),
        Point("slow", 32, 0.39, 0.041, 0.0),
        Point("dear", 128, 0.75, 0.0505, 0.0),
    ]
    assert knee(shapes).name == "good"


def test_room_for_an_intent_keeps_what_was_learned():
    """A network with one more level reads histories to the same profile as before."""
    from study_intent import deeper

    torch.manual_seed(0)
    shape = DecoderShape(levels=2, codes=4, vector_width=8, width=8, layers=1, history_length=5)
    before = SemanticDecoder(shape, torch.zeros(2, 4, 8)).eval()
    after = deeper(before).eval()
    assert after.shape.levels == 3
    history = torch.randn(3, 8)
    with torch.inference_mode():
        assert torch.equal(before.read(history).query, after.read(history).query)
