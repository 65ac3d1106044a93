"""The one tree of errors. Each message is a line that says what was wrong and what to do.

AdgramError
├── ConfigError          a setting is unknown or impossible
├── ArtifactError        a trained model is missing, damaged or of another version
├── MarketplaceError     a file or column of a marketplace is missing or wrong
├── InvalidRequest       a bid request breaks the wire contract; names the field's path
├── InvalidEvent         a source event cannot be folded; goes to the dead letters with its reason
├── Unavailable          a broker, store or port cannot be reached
├── VersionUnavailable   a snapshot older than the eviction horizon was asked for
└── NotFound             what was asked for by id is not (or no longer) here
"""


class AdgramError(Exception):
    """Anything this project reports to a person in one line."""


class ConfigError(AdgramError):
    """A setting is unknown or impossible."""


class ArtifactError(AdgramError):
    """A trained model is missing, damaged or of another version."""


class MarketplaceError(AdgramError):
    """A file or column of a marketplace is missing or wrong."""


class InvalidRequest(AdgramError):
    """A bid request breaks the wire contract.

    Args:
        path: the field's path in OpenRTB's words, e.g. ``imp[0].banner.w``.
        problem: what is wrong with it.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class InvalidEvent(AdgramError):
    """A source event cannot be folded.

    Args:
        reason: a short stable name for counting, e.g. ``wrong-schema``.
        problem: what is wrong with this event.
    """

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(f"{reason}: {problem}")
        self.reason = reason


class Unavailable(AdgramError):
    """A broker, store or port cannot be reached."""


class VersionUnavailable(AdgramError):
    """A snapshot older than the eviction horizon was asked for."""


class NotFound(AdgramError):
    """What was asked for by id is not (or no longer) here."""
