"""Short ad texts that claim nothing their item does not say; and, for a world, a few that break the law on purpose."""

import re
from collections.abc import Sequence

import numpy as np

TITLE_CHARS = 60  # OpenRTB native titles are asked for at 25, 90 or 140; 60 fits a banner's one line
TEXT_CHARS = 90  # the shortest common native description
# Words of a source's title that would be claims in an ad, though they may be part of a name.
_CLAIMS = re.compile(
    r"(?<!\w)(best|no\.? ?1|number one|# ?1|miracle|ultimate|perfect|guaranteed|cures?|heals?|healing|top rated)(?!\w)",
    re.IGNORECASE,
)


def clipped(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, cut between words, with an ellipsis where something is missing."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    cut = head.rfind(" ")
    return (head[:cut] if cut > limit // 2 else head).rstrip(" ,;-(") + "…"


def plain_title(title: str, brand: str, category: Sequence[str]) -> str:
    """A source's title, or, where that would make claims, brand and kind; cutting words out could turn its sense."""
    if _CLAIMS.search(title) and category:
        title = f"{brand} {category[-1]}".strip()
    return clipped(title, TITLE_CHARS)


def plain_text(brand: str, category: Sequence[str], variant: int) -> str:
    """A sentence made of brand and category only; `variant` picks one of its forms."""
    kind = category[-1] if category else "this product"
    maker = f" by {brand}" if brand else ""
    forms = (
        f"{kind}{maker}. See details and price.",
        f"{kind}{maker}: sizes, contents and delivery at the shop.",
        f"Looking for {kind.lower()}? Have a look{f' at {brand}' if brand else ''}.",
    )
    return clipped(forms[variant % len(forms)], TEXT_CHARS)


_EN = {
    "plain": ("{noun} for every day. See details and price.", "{trait} {noun}, {spec}. Ready to ship."),
    "rain": ("Rain outside? {trait} {noun}, {spec}.", "Wet day ahead: {noun} from {brand}."),
    "heat": ("Hot today? {trait} {noun}, {spec}.", "A warm day calls for {noun} from {brand}."),
}
_ZH = {
    "plain": ("{brand}{noun}，日常好用，查看详情与价格。", "{trait}{noun}，规格{spec}，现货发出。"),
    "rain": ("下雨了？{trait}{noun}，规格{spec}。", "雨天出门，带上{brand}{noun}。"),
    "heat": ("天热了？{trait}{noun}，规格{spec}。", "热天里，来点{brand}{noun}。"),
}
# Sentences the advertising law of the ad's language does not allow: superlatives and medical claims.
_FORBIDDEN_EN = (
    "The best {noun} in the world.",
    "The No. 1 {noun}, 100% guaranteed results.",
    "Clinically proven to cure insomnia and back pain.",
)
_FORBIDDEN_ZH = ("全网第一的{noun}，史上最低价。", "国家级品质，最好的{noun}。", "有效根治失眠，无副作用。")


def world_text(language: str, theme: str, words: dict[str, str], rng: np.random.Generator) -> str:
    """A compliant sentence for an item of the made world, playing on the weather when `theme` does."""
    forms = (_ZH if language == "zh" else _EN)[theme]
    return clipped(forms[int(rng.integers(len(forms)))].format(**words), TEXT_CHARS)


def forbidden_text(language: str, words: dict[str, str], rng: np.random.Generator) -> str:
    """A sentence that the verifier must catch."""
    forms = _FORBIDDEN_ZH if language == "zh" else _FORBIDDEN_EN
    return clipped(forms[int(rng.integers(len(forms)))].format(**words), TEXT_CHARS)
