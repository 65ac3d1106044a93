"""Objects of the compiled library as Python owns them."""

from collections.abc import Callable

KEPT_IDLE = 16  # contexts and searches, each some megabytes, that wait to be used again


def checked(done: bool) -> None:
    """MemoryError unless the library could do what it was asked."""
    if not done:
        raise MemoryError("the compiled decode found no memory")


class Handle:
    """Owns one object of the library and frees it with itself."""

    def __init__(self, address: int | None, free: Callable[[int], None]) -> None:
        if not address:
            raise MemoryError("the compiled decode found no memory")
        self.address, self._free = address, free

    def __del__(self) -> None:
        if hasattr(self, "_free"):
            self._free(self.address)


class Stock:
    """Objects of the library that are used again: asking the system for their memory would cost a request its time."""

    def __init__(self, make: Callable[[], int | None], free: Callable[[int], None]) -> None:
        self._make, self._free = make, free
        self._idle: list[int] = []

    def take(self) -> Handle:
        """An object that comes back here when its handle dies; what it held before is still in it."""
        try:
            address: int | None = self._idle.pop()
        except IndexError:  # asked for and not tested before: another thread may take the last one
            address = self._make()
        return Handle(address, self._give_back)

    def _give_back(self, address: int) -> None:
        if len(self._idle) < KEPT_IDLE:
            self._idle.append(address)
        else:
            self._free(address)

    def __del__(self) -> None:
        for address in self._idle:
            self._free(address)
