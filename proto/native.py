"""OpenRTB Native 1.2 as the JSON strings that travel inside the request and the markup."""

from dataclasses import dataclass, field

import msgspec

from ..core.errors import InvalidRequest
from ..core.request import NativeAsset, NativeAssetKind

_DESCRIPTION = 2  # Native 1.2 data asset type "desc"


@dataclass(frozen=True, slots=True)
class _Length:
    len: int = 0


@dataclass(frozen=True, slots=True)
class _Data:
    type: int
    len: int = 0


@dataclass(frozen=True, slots=True)
class _Asset:
    id: int
    required: int = 0
    title: _Length | None = None
    data: _Data | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    assets: tuple[_Asset, ...] = ()


@dataclass(frozen=True, slots=True)
class _Wrapped:
    native: _Request | None = None
    assets: tuple[_Asset, ...] = field(default=())


def assets_asked(request: str, path: str) -> tuple[NativeAsset, ...]:
    """The assets a native request asks for, none for an empty string; InvalidRequest at `path` if it is not Native
    JSON.

    Both spellings in the field are read: the bare object, and the one wrapped in `{"native": …}` of Native 1.0.
    """
    if not request:
        return ()
    try:
        wrapped = msgspec.json.decode(request, type=_Wrapped)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(path, f"is not Native 1.2 JSON: {error}") from error
    return tuple(map(_asked, wrapped.native.assets if wrapped.native else wrapped.assets))


def _asked(asset: _Asset) -> NativeAsset:
    required = bool(asset.required)
    if asset.title:
        return NativeAsset(asset.id, NativeAssetKind.TITLE, asset.title.len, required)
    if asset.data and asset.data.type == _DESCRIPTION:
        return NativeAsset(asset.id, NativeAssetKind.DESCRIPTION, asset.data.len, required)
    return NativeAsset(asset.id, NativeAssetKind.OTHER, 0, required)


def request_json(assets: tuple[NativeAsset, ...]) -> str:
    """A Native 1.2 request asking for these assets; the inverse of `assets_asked` for assets we can fill."""
    asked = []
    for asset in assets:
        entry: dict[str, object] = {"id": asset.asset_id, "required": int(asset.required)}
        if asset.kind is NativeAssetKind.TITLE:
            entry["title"] = {"len": asset.limit}
        elif asset.kind is NativeAssetKind.DESCRIPTION:
            entry["data"] = {"type": _DESCRIPTION, "len": asset.limit}
        asked.append(entry)
    return msgspec.json.encode({"ver": "1.2", "assets": asked}).decode()


def markup_json(assets: tuple[NativeAsset, ...], title: str, text: str, landing_page: str) -> str:
    """The Native 1.2 response that fills the assets asked for; title and description where nothing was asked."""
    wanted = assets or (NativeAsset(1, NativeAssetKind.TITLE), NativeAsset(2, NativeAssetKind.DESCRIPTION))
    filled: list[dict[str, object]] = []
    for asset in wanted:
        if asset.kind is NativeAssetKind.TITLE:
            filled.append({"id": asset.asset_id, "title": {"text": title}})
        elif asset.kind is NativeAssetKind.DESCRIPTION:
            filled.append({"id": asset.asset_id, "data": {"type": _DESCRIPTION, "value": text}})
    return msgspec.json.encode({"native": {"ver": "1.2", "assets": filled, "link": {"url": landing_page}}}).decode()
