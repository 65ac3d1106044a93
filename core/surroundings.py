"""The environment of a place: its H3 cell's, and what that does not tell from the cell around, the city, the region."""

import h3

from .environment import Environment
from .errors import InvalidEvent
from .request import Place
from .snapshot import Snapshot

# Crowds and street fairs are told for about 5 km² (edge 1.4 km), weather for about 250 km² (edge 9.9 km).
CELL_RESOLUTIONS = (7, 5)
_CELL_CHARACTERS = 15  # of a cell's id in hexadecimal


def cell_of(latitude: float, longitude: float, resolution: int) -> str:
    """The id of the H3 cell that holds a point (degrees, WGS 84); "" for a point that is not on Earth."""
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        return ""
    return str(h3.latlng_to_cell(latitude, longitude, resolution))


def keys_of(place: Place) -> tuple[str, ...]:
    """Under which place ids a place's environment may be told, nearest first: cells, city, region, country."""
    names = [part for part in (place.country, place.region, place.city) if part]
    named = ["/".join(names[:count]) for count in range(len(names), 0, -1)]
    if place.latitude is None or place.longitude is None:
        return tuple(named)
    cells = (cell_of(place.latitude, place.longitude, resolution) for resolution in CELL_RESOLUTIONS)
    return (*(cell for cell in cells if cell), *named)


def environment_of(snapshot: Snapshot, place: Place, event_time: int) -> Environment:
    """What holds at the place, each part from the nearest key that tells it; `place_id` is the place's own."""
    found = Environment(place.place_id)
    for key in keys_of(place):
        told = snapshot.environment(key, event_time)
        found = found.filled(told)
        if found.complete:
            break
    return found


def require_readable(place_id: str) -> None:
    """InvalidEvent for an id that looks like an H3 cell but would never be read."""
    if len(place_id) != _CELL_CHARACTERS or not all(one in "0123456789abcdefABCDEF" for one in place_id):
        return
    if not h3.is_valid_cell(place_id) or place_id != place_id.lower():
        raise InvalidEvent("wrong-value", f"$.value.place_id {place_id!r} is no H3 cell; write its id in lower case")
    resolution = h3.get_resolution(place_id)
    if resolution not in CELL_RESOLUTIONS:
        raise InvalidEvent(
            "wrong-value",
            f"$.value.place_id {place_id!r} has H3 resolution {resolution}; {CELL_RESOLUTIONS} are read",
        )
