import io

import structlog
from rich.console import Console

from adgram.programs.loading import EVERY_S, Loading


def test_a_cold_start_draws_a_bar_on_a_terminal():
    """Pages read and pages in all are on it, and it is gone once a shard is there."""
    screen = io.StringIO()
    loading = Loading(Console(file=screen, force_terminal=True, width=120))
    for done in (3, 7):
        loading(done, 7)
    loading(1, 4)
    assert "7/7" in screen.getvalue() and "pages of memory" in screen.getvalue()


def test_a_cold_start_tells_a_log_now_and_then():
    """Where nobody looks at a screen there is a line every few seconds and nothing drawn."""
    now = [0.0]
    screen = io.StringIO()
    with structlog.testing.capture_logs() as lines:
        loading = Loading(Console(file=screen), lambda: now[0])
        for done in range(4):
            loading(done, 4)
            now[0] += EVERY_S / 2
    assert [line["pages"] for line in lines] == [2] and not screen.getvalue()
