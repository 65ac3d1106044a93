"""Dead letters where a test can look at them."""

from adgram.streaming.dead_letters import DeadLetter


class KeptDeadLetters:
    """Implements streaming.dead_letters.DeadLetters in a list; `flushed` is how many of them were flushed."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.flushed = 0

    def put(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    def flush(self) -> None:
        self.flushed = len(self.letters)
