"""A weather service on this machine that speaks Open-Meteo's JSON."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


def forecast(hours: tuple[int, ...], temperature: float = 12.5, code: object = 61) -> dict[str, Any]:
    """One place's part of the answer, as the service writes it, with fields that nobody asked for."""
    return {
        "latitude": 31.25,
        "utc_offset_seconds": 0,
        "current_units": {"temperature_2m": "°C"},
        "current": {"time": 0, "interval": 900, "temperature_2m": temperature, "weather_code": code},
        "hourly": {
            "time": [hour * 3600 for hour in hours],
            "temperature_2m": [temperature + 1] * len(hours),
            "weather_code": [71] * len(hours),
        },
    }


@dataclass
class Service:
    """Answers every request with `status` and `body`; `asked` are the queries it got."""

    url: str = ""
    status: int = 200
    body: bytes = b"[]"
    asked: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def weather_service() -> Iterator[Service]:
    """A running one, on a port of its own."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            service.asked.append({"path": address.path, **parse_qs(address.query)})
            self.send_response(service.status)
            self.send_header("Content-Length", str(len(service.body)))
            self.end_headers()
            self.wfile.write(service.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
