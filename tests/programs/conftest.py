"""Commands run in this process: quick, where a process of their own would prove no more."""

import signal

import pytest
from typer.testing import CliRunner

from adgram.programs.cli import application


@pytest.fixture
def adgram_here():
    """Runs `adgram …` and gives typer's result; whatever a command set signals to is set back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield lambda *arguments: CliRunner().invoke(application(arguments[:1]), list(map(str, arguments)))
    for number, handler in before.items():
        signal.signal(number, handler)
