"""Prices: what tokens cost, and how an amount of money is written.

Prices come from the package genai-prices, which contains them and needs no network. It knows what
many llms cost in a batch; for others, OpenAI, Azure, Mistral and Google sell batches at half the
price, as their pricing pages say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor, log10

PRICE_UNIT = 1_000_000
BATCH_CONTEXT = {"processing": "batch"}
"""How genai-prices is asked for the price of requests in a batch."""
BATCH_DISCOUNT = 0.5
"""The share that a batch costs less at these sellers."""
DISCOUNTING_SELLERS = ("openai", "azure", "mistral", "google")


@dataclass(frozen=True, kw_only=True)
class Price:
    """USD for a million tokens of input, of input from the provider's cache, and of output.

    `source` says where the figures come from, for people.
    """

    input: float
    cached: float
    output: float
    source: str

    def price_tokens(
        self, *, input_tokens: float, cached_tokens: float = 0, output_tokens: float
    ) -> float:
        """Returns the cost of these tokens in USD; `input_tokens` includes the `cached_tokens`.

        >>> Price(input=1, cached=0.5, output=2, source="").price_tokens(
        ...     input_tokens=2_000_000, cached_tokens=1_000_000, output_tokens=1_000_000
        ... )
        3.5
        """
        fresh = input_tokens - cached_tokens
        paid = fresh * self.input + cached_tokens * self.cached + output_tokens * self.output
        return paid / PRICE_UNIT

    def apply_discount(self, discount: float, *, where: str = "in a batch") -> Price:
        """Returns the price less `discount`, a share of it, which is granted `where`.

        >>> Price(input=1, cached=0.5, output=2, source="a list").apply_discount(0.5)
        Price(input=0.5, cached=0.25, output=1.0, source='a list, 50% off in a batch')
        """
        if not discount:
            return self
        left = 1 - discount
        return replace(
            self,
            input=self.input * left,
            cached=self.cached * left,
            output=self.output * left,
            source=f"{self.source}, {discount:.0%} off {where}",
        )


FREE_PRICE = Price(input=0, cached=0, output=0, source="answered by a machine of yours")


def find_price(
    llm: str,
    *,
    url: str,
    batch: bool,
    discount: float | None = None,
    seller: str = "",
    tier: str = "",
) -> Price | None:
    """Returns the list price of an llm at the `seller` (its id in genai-prices) or, if that is "",
    at the provider whose API is at `url`; None without one.

    For a URL that the list does not know, such as a gateway's, OpenAI's prices are used. `discount`
    is the share that a batch costs less, if the caller knows better than the list. `tier` is the
    service tier of requests that are not in a batch.
    """
    import genai_prices
    from genai_prices import data_snapshot

    if not seller:
        try:
            seller = data_snapshot.get_snapshot().find_provider(None, None, url).id
        except LookupError:
            seller = "openai"
    usage = genai_prices.Usage(input_tokens=1, output_tokens=1)
    try:
        found = [
            genai_prices.calc_price(usage, llm, provider_id=seller, price_context=context)
            for context in ({}, BATCH_CONTEXT, {"service_tier": tier} if tier else {})
        ]
    except (LookupError, ValueError):
        return None
    single, in_batch, in_tier = (
        _convert_price(each.model_price, f"{each.model.id} at {seller}") for each in found
    )
    if not batch and tier and in_tier not in (single, None):
        return replace(in_tier, source=f"{in_tier.source}, service tier {tier}")
    if not batch or single is None or in_batch is None:
        return single
    if discount is not None:
        return single.apply_discount(discount)
    # Where genai-prices has no price for batches, it returns the single price for both.
    if in_batch != single:
        return replace(in_batch, source=f"{single.source}, in a batch")
    return single.apply_discount(BATCH_DISCOUNT if seller in DISCOUNTING_SELLERS else 0)


def _convert_price(found: object, source: str) -> Price | None:
    """Returns a price of genai-prices as a Price, or None if it lacks input or output."""
    # Of a price in tiers, the first: the higher ones are for very long prompts.
    figures = [getattr(found, f"{kind}_mtok") for kind in ("input", "cache_read", "output")]
    fresh, cached, output = (
        None if figure is None else float(getattr(figure, "base", figure)) for figure in figures
    )
    if output is None and "embed" in source:  # an embedding has no output
        output = 0.0
    if fresh is None or output is None:
        return None
    return Price(
        input=fresh, cached=fresh if cached is None else cached, output=output, source=source
    )


def format_usd(amount: float | None) -> str:
    """Returns an amount of money as people read it, with more digits below a dollar.

    >>> [format_usd(amount) for amount in (1234.5, 0.5, 0.03047, 0.0000123, 0, None)]
    ['$1,234.50', '$0.50', '$0.0305', '$0.000012', '$0.00', 'an unknown price']
    """
    if amount is None:
        return "an unknown price"
    if amount >= 1 or amount <= 0:
        return f"${amount:,.2f}"
    digits = max(4, 1 - floor(log10(amount)))
    cents, below = f"{amount:.{digits}f}"[:4], f"{amount:.{digits}f}"[4:]
    return f"${cents}{below.rstrip('0')}"
