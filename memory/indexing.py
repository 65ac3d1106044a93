"""Builds indexes of neighbours in the background, one at a time, while versions go on."""

import threading
from collections.abc import Callable

import faiss
import structlog

from .neighbours import BuiltIndex
from .snapshot import MemorySnapshot

LEAST_INDEXED = 4_096  # fewer vectors are compared one by one as fast
TAIL = 4_096  # vectors behind the index before it is extended: 1 MB to read at width 64
RELAID_SHARE = 0.5  # grown by so much since its lists were laid out, or so much of it moved, and it is built anew
MOVED_SHARE = 0.05
logger = structlog.get_logger(__name__)


class IndexBuilder:
    """Hands out each finished index once. A version that needs none costs two comparisons."""

    def __init__(self) -> None:
        self._work: threading.Thread | None = None
        self._built: BuiltIndex | None = None

    def look_at(self, snapshot: MemorySnapshot) -> None:
        """Starts building for this version where its index has fallen behind and nothing is being built."""
        if self._work is not None and self._work.is_alive():
            return
        task = _task(snapshot)
        if task is not None:
            self._work = threading.Thread(target=self._run, args=(task,), name="index-builder", daemon=True)
            self._work.start()

    def taken(self) -> BuiltIndex | None:
        """The index finished since the last call, if any."""
        built, self._built = self._built, None
        return built

    def wait(self, timeout_s: float) -> None:
        """Afterwards nothing is being built, or the time is over."""
        if self._work is not None:
            self._work.join(timeout_s)

    def _run(self, task: Callable[[], BuiltIndex]) -> None:
        """The thread's edge: without an index everything is compared one by one, slower and as right."""
        faiss.omp_set_num_threads(1)  # the other cores belong to requests
        try:
            self._built = task()
        except Exception:
            logger.exception("the index of neighbours could not be built")


def _task(snapshot: MemorySnapshot) -> Callable[[], BuiltIndex] | None:
    """What is to be built for this version, if anything."""
    built, vectors, moves = snapshot.built, snapshot.items.vectors, len(snapshot.catalogue.moves.view)
    if len(vectors) < LEAST_INDEXED:
        return None
    if built is None:
        return lambda: BuiltIndex.build(vectors, moves)
    if len(vectors) > (1 + RELAID_SHARE) * built.trained_at or moves - built.moves > MOVED_SHARE * built.covered:
        return lambda: BuiltIndex.build(vectors, moves)
    if len(vectors) - built.covered > TAIL:
        return lambda: built.extended(vectors)
    return None
