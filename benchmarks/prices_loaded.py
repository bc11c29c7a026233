"""Imported where children are forked from: the price list is read once for them all."""

from enrich.pricing.price import listed

listed("gpt-4o-mini", url="https://api.openai.com/v1", batch=True)
