"""Whether a broker can be reached at all, told quickly and in one line."""

import socket

from ..core.errors import ConfigError, Unavailable


def require_broker(bootstrap: str, timeout_ms: int) -> None:
    """Returns when one of the brokers `host:port[,host:port…]` accepts a connection; Unavailable otherwise."""
    reason = "no address"
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"bootstrap {address.strip()!r} is not host:port; write it like 127.0.0.1:9092")
        try:
            socket.create_connection((host, int(port)), timeout_ms / 1000).close()
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            return
    raise Unavailable(f"no Kafka broker at {bootstrap} ({reason}); start one or name yours with --bootstrap")
