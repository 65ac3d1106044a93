"""Ctrl-C and SIGTERM as something a loop can wait on."""

import signal
import threading
import time

LOOK_EVERY_S = 0.05


def stop_event() -> threading.Event:
    """An event that is set soon after SIGINT or SIGTERM.

    By a thread, not by the handler: a handler may interrupt itself, and would then wait for the event's lock for ever.
    """
    asked, stopping = False, threading.Event()

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True

    def watch() -> None:
        while not asked:
            time.sleep(LOOK_EVERY_S)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    threading.Thread(target=watch, name="stop", daemon=True).start()
    return stopping
