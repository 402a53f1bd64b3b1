"""What the nodes share. Importing it tells how to install Haystack where it is missing."""

from bicross.errors import MissingExtraError

try:
    import haystack  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "haystack":
        raise
    raise MissingExtraError(
        "bicross's Haystack nodes need haystack-ai, which isn't installed. Run: pip install \"bicross[haystack]\""
    ) from None
