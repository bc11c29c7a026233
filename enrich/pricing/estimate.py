"""Estimates: how many tokens requests will take, what they will cost, and how sure that is.

They are based on the answers in the ledger to the same model by the same llm or, without any, on a
rule of thumb. The input tokens of a request are proportional to its bytes unless it has pictures:
then they are counted per request.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

from enrich.manifest.column_type import BYTES_PER_TOKEN
from enrich.pricing.pictures import NO_TOKENS, TokenRange
from enrich.pricing.price import Price, format_usd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from enrich.db.database import Ledger
    from enrich.manifest.prompt import Prompt
    from enrich.pricing.pictures import Content

GUESS_FACTORS = (0.6, 1.6)
"""How far off a rule of thumb may be, as factors for input tokens; for output it is three times as
wide."""
LEAST_UNCERTAINTY = 0.05
"""The smallest uncertainty, as a share: future rows differ from those seen so far."""
FEWEST_ANSWERS = 5
"""The fewest answers that say anything about how much answers vary."""
LIMIT_PARAMETERS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


@dataclass(frozen=True, kw_only=True)
class TokenRate:
    """The tokens of one request: input tokens per byte and per request, and output tokens.

    The spreads are standard deviations of one request's tokens, None if too few were seen. `cached`
    is the share of input tokens that came from the provider's cache, and `reasoning` are the output
    tokens that a request takes to think. `answers` is the number of
    answers that the rate was learned from; 0 means a rule of thumb, to which the tokens of a
    request's `pictures` are added.
    """

    answers: int
    per_byte: float
    per_request: float
    output: float
    pictures: TokenRange = NO_TOKENS
    input_spread: float | None = None
    output_spread: float | None = None
    cached: float = 0.0
    reasoning: float = 0.0

    @classmethod
    def from_ledger(
        cls,
        database: Ledger,
        prompt: str,
        work: Prompt,
        params: Mapping[str, Any],
        content: Content,
    ) -> TokenRate:
        """The rate of the answers in the ledger to this version or, if there are none, to earlier
        versions of the model by the same llm; without any, the rule of thumb for `content`."""
        found = database.call("token_rate", prompt=prompt)
        rate = cls.from_guess(work, params, content)
        if not found or not found[0][0]:
            return rate
        answers, by_bytes, each, off_bytes, off_each, cached, output, off_output, thought = found[0]
        pictures = bool(work.images)
        return cls(
            answers=answers,
            per_byte=0.0 if pictures else by_bytes,
            per_request=each if pictures else 0.0,
            output=output,
            input_spread=off_each if pictures else off_bytes,
            output_spread=off_output,
            cached=cached,
            reasoning=thought,
        )

    @classmethod
    def from_guess(cls, prompt: Prompt, params: Mapping[str, Any], content: Content) -> TokenRate:
        """The rule of thumb: a token for each four bytes of text, pictures as llms count them, and
        output by the types of its columns, up to the limit in the parameters."""
        tokens = prompt.output.count_tokens()
        most = min(
            (params[word] for word in LIMIT_PARAMETERS if _is_limit(params.get(word))),
            default=tokens,
        )
        counted = bool(prompt.images) or prompt.embeds
        return cls(
            answers=0,
            per_byte=0.0 if counted else 1 / BYTES_PER_TOKEN,
            per_request=content.text / BYTES_PER_TOKEN if counted else 0.0,
            pictures=content.pictures,
            output=min(tokens, most),
        )


@dataclass(frozen=True, kw_only=True)
class Range:
    """A number that is not known for sure: the most likely value, and the limits around it."""

    likely: float
    low: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(
            likely=self.likely + other.likely,
            low=self.low + other.low,
            high=self.high + other.high,
        )

    @classmethod
    def around(cls, likely: float, spread: float | None, requests: int, answers: int) -> Range:
        """The tokens of `requests` together, predicted from the mean of `answers` others: twice the
        standard error in either direction, and never less than LEAST_UNCERTAINTY."""
        if spread is None or answers < FEWEST_ANSWERS:
            return cls(likely=likely, low=likely / 2, high=likely * 2)
        # Two errors add up: that of the mean, which is the same for all requests, and that of the
        # requests themselves, which partly cancel each other out.
        error = 2 * spread * (requests / sqrt(answers) + sqrt(requests))
        off = max(error, likely * LEAST_UNCERTAINTY)
        return cls(likely=likely, low=max(0.0, likely - off), high=likely + off)

    @classmethod
    def guess(cls, likely: float, width: float = 1) -> Range:
        """The range of a rule of thumb, made wider by the factor `width`."""
        return cls(
            likely=likely,
            low=likely * GUESS_FACTORS[0] / width,
            high=likely * GUESS_FACTORS[1] * width,
        )


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a number of requests will take: tokens, and USD if the price is known.

    `answers` is the number of answers that it was learned from; 0 means a rule of thumb. Of the
    output, `reasoning` tokens are likely to be spent on thinking.
    """

    input: Range
    output: Range
    cost: Range | None
    answers: int
    reasoning: float = 0.0

    @classmethod
    def from_rate(
        cls, rate: TokenRate, price: Price | None, *, requests: int, size: int
    ) -> Estimate:
        """The estimate for `requests`, which have `size` bytes in total."""
        taken = rate.per_byte * size + rate.per_request * requests
        given = rate.output * requests
        if rate.answers:
            inside = Range.around(taken, rate.input_spread, requests, rate.answers)
            out = Range.around(given, rate.output_spread, requests, rate.answers)
        else:
            shown = rate.pictures.multiply(requests)
            text, out = Range.guess(taken), Range.guess(given, 3)
            inside = Range(
                likely=text.likely + shown.likely,
                low=text.low + shown.low,
                high=text.high + shown.high,
            )
        return cls(
            input=inside,
            output=out,
            cost=_price_range(price, inside, out, rate.cached) if price else None,
            answers=rate.answers,
            reasoning=rate.reasoning * requests,
        )

    @property
    def usd(self) -> float | None:
        """The most likely cost in USD, None if the price is unknown."""
        return self.cost.likely if self.cost else None

    def __str__(self) -> str:
        """The cost, as people read it."""
        if self.cost is None or not self.cost.high:
            return format_usd(self.usd)
        likely, low, high = map(format_usd, (self.cost.likely, self.cost.low, self.cost.high))
        return f"about {likely} ({low} to {high})"


def add_estimates(parts: Sequence[Estimate]) -> Estimate:
    """Returns what several estimates come to; the cost is unknown if that of any part is. The sum
    is learned from as many answers as the part with the fewest."""
    zero = Range(likely=0.0, low=0.0, high=0.0)
    costs = [part.cost for part in parts if part.cost]
    return Estimate(
        input=sum((part.input for part in parts), zero),
        output=sum((part.output for part in parts), zero),
        cost=sum(costs, zero) if len(costs) == len(parts) else None,
        answers=min((part.answers for part in parts), default=0),
        reasoning=sum(part.reasoning for part in parts),
    )


def _price_range(price: Price, inside: Range, out: Range, cached: float) -> Range:
    likely, low, high = (
        price.price_tokens(input_tokens=taken, cached_tokens=taken * cached, output_tokens=given)
        for taken, given in (
            (inside.likely, out.likely),
            (inside.low, out.low),
            (inside.high, out.high),
        )
    )
    return Range(likely=likely, low=low, high=high)


def _is_limit(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
