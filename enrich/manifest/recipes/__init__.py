"""Recipes: example projects for what people do with embeddings, one in each folder."""

from __future__ import annotations

RECIPES = ("nearest_label", "near_duplicates", "semantic_join", "clusters")
"""The names of the folders. `enrich init --help` says what each is for."""
