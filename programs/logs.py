"""What a program tells while it runs: on stderr, as lines for people or as JSON for machines."""

import sys

import structlog


def log_to_stderr(*, as_json: bool = False) -> None:
    """Afterwards log lines go to stderr; tracebacks are plain, since drawing them in boxes takes half a second."""
    form: list[structlog.typing.Processor] = (
        [structlog.processors.TimeStamper(fmt="iso", utc=True), structlog.processors.JSONRenderer()]
        if as_json
        else [
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
    )
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info, *form],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
