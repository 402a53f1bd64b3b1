"""Preprocessors for Haystack."""

import haystack_integrations.common.bicross  # noqa: F401  # first: it names the remedy where Haystack is missing
from haystack_integrations.components.preprocessors.bicross.passage_splitter import BicrossPassageSplitter

__all__ = ["BicrossPassageSplitter"]
