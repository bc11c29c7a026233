"""Dice: everything that looks random in an answer, but is the same for the same key everywhere."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import count
from struct import Struct
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ItemT = TypeVar("ItemT")
WORDS = (  # noqa: SIM905  # a list would take seventy lines
    "amber autumn basin birch bridge candle canyon cedar copper coral crystal delta dune ember "
    "fable falcon forest garden glacier granite harbor hazel hollow island ivory jasper juniper "
    "lagoon lantern linen maple marble meadow mirror morning mosaic mountain nectar north ocean "
    "olive orchard paper pebble pepper pine prairie quartz quiet raven reef river saffron sage "
    "shadow silver spruce stone summer thistle thunder timber tulip valley velvet violet walnut "
    "willow winter"
).split()


class Dice:
    """Draws that follow from a key, by a hash: starting is ten times as fast as with a `Random`.

    >>> Dice("k").pick("abc") == Dice("k").pick("abc")
    True
    """

    def __init__(self, key: str) -> None:
        self.throw: Callable[[], float] = _generate_throws(key).__next__

    def draw_below(self, limit: int) -> int:
        """Returns an integer from 0 to below `limit`."""
        return int(self.throw() * limit)

    def draw_between(self, least: int, most: int) -> int:
        """Returns an integer from `least` to `most`."""
        return least + int(self.throw() * (most - least + 1))

    def pick(self, items: Sequence[ItemT]) -> ItemT:
        return items[int(self.throw() * len(items))]

    def draw_words(self, count: int) -> str:
        return " ".join([WORDS[int(self.throw() * len(WORDS))] for _ in range(count)])

    def draw_sentence(self) -> str:
        words = self.draw_words(self.draw_between(2, 3)), self.draw_words(2)
        return " under the ".join(words).capitalize() + "."

    def draw_moment(self) -> datetime:
        return datetime(2000, 1, 1) + timedelta(seconds=self.draw_below(800_000_000))

    def draw_hexadecimal(self, digits: int) -> str:
        return "".join([f"{self.draw_below(16):x}" for _ in range(digits)])

    def draw_uuid(self) -> str:
        parts = [self.draw_hexadecimal(digits) for digits in (8, 4, 3, 3, 12)]
        return f"{parts[0]}-{parts[1]}-4{parts[2]}-8{parts[3]}-{parts[4]}"


def _generate_throws(key: str) -> Iterator[float]:
    """Yields numbers from 0 to below 1, without end."""
    for block in count():
        for word in _unpack_words(blake2b(f"{key}/{block}".encode()).digest()):
            yield word / 2**32


_unpack_words = Struct("<16I").unpack

STRING_FORMATS: dict[str, Callable[[Dice], str]] = {
    "date": lambda dice: dice.draw_moment().date().isoformat(),
    "date-time": lambda dice: dice.draw_moment().isoformat() + "Z",
    "time": lambda dice: dice.draw_moment().time().isoformat() + "Z",
    "duration": lambda dice: f"P{dice.draw_between(1, 30)}DT{dice.draw_between(1, 23)}H",
    "email": lambda dice: f"{dice.draw_words(1)}@example.com",
    "hostname": lambda dice: f"{dice.draw_words(1)}.example.com",
    "ipv4": lambda dice: ".".join(str(dice.draw_between(1, 254)) for _ in range(4)),
    "ipv6": lambda dice: f"2001:db8::{dice.draw_between(1, 65_535):x}",
    "uuid": Dice.draw_uuid,
}
"""The string formats of OpenAI's structured outputs."""
