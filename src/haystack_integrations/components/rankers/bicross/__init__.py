"""Rankers for Haystack."""

import haystack_integrations.common.bicross  # noqa: F401  # first: it names the remedy where Haystack is missing
from haystack_integrations.components.rankers.bicross.ranker import BicrossRanker

__all__ = ["BicrossRanker"]
