"""Imported where children are forked from: the price list is read once for them all."""

from enrich.pricing.price import find_price

find_price("gpt-4o-mini", url="https://api.openai.com/v1", batch=True)
