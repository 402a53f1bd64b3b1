"""Every exception and warning that bicross raises.

BicrossError
├── ConfigurationError (ValueError)       an argument, or two arguments together, make no sense
├── InputError (ValueError)               a text, id, vector or list that can't be processed
│   └── InputTypeError (TypeError)        ... because it is of the wrong type
├── FilterError (ValueError)              a filter that isn't understood
├── ReadError (ValueError)                a file whose content is broken; names file and line
├── MissingExtraError (ImportError)       an optional package is needed
├── ModelNotFoundError (FileNotFoundError)
├── CheckpointError (ValueError)          a model folder that is damaged, unsafe or of an unknown kind
├── ClosedError (RuntimeError)            used after close()
├── ForkedProcessError (RuntimeError)     a model or store used in a forked child
├── WorkerError (RuntimeError)            a worker process was ended again and again
├── RemoteError (RuntimeError)            a hosted model refused, failed, or can't be reached
│   ├── AuthenticationError (PermissionError)  it refused the key, or asked for one
│   └── AnswerError (ValueError)          it answered something that can't be used
├── TrainingError (RuntimeError)          a loss or gradient that isn't a finite number; names the step and the queries
└── StoreError (RuntimeError)
    ├── CollectionNotFoundError (LookupError)
    ├── FingerprintMismatchError (ValueError)
    ├── DimensionMismatchError (ValueError)
    ├── StoreLockedError                  another process has the folder open
    └── StorageFullError (OSError)

BicrossWarning (UserWarning)
├── TruncationWarning                     texts were cut to the model's limit
├── UnknownIdsWarning                     judgments name ids that the data set doesn't have
└── UnknownTokensWarning                  the model doesn't read this script
"""


class BicrossError(Exception):
    """Base of all errors of this package."""


class ConfigurationError(BicrossError, ValueError):
    """An argument, or a combination of arguments, makes no sense."""


class InputError(BicrossError, ValueError):
    """A text, id, vector or list that can't be processed; the message names its position."""


class InputTypeError(InputError, TypeError):
    """An input of the wrong type; the message names its position."""


class FilterError(BicrossError, ValueError):
    """A filter that isn't understood."""


class ReadError(BicrossError, ValueError):
    """A file whose content is broken; the message names the file and, where there is one, the line."""


class MissingExtraError(BicrossError, ImportError):
    """An optional package is needed; the message holds the pip command."""


class ModelNotFoundError(BicrossError, FileNotFoundError):
    """No model under this name; the message says where it was sought and how to get it."""


class CheckpointError(BicrossError, ValueError):
    """A model folder that is damaged, unsafe, or of a kind that bicross doesn't know."""


class ClosedError(BicrossError, RuntimeError):
    """An object was used after its close()."""


class ForkedProcessError(BicrossError, RuntimeError):
    """A model or store was used in a forked child process, where it would hang."""


class WorkerError(BicrossError, RuntimeError):
    """A worker process was ended again and again while it did its part of a job."""


class RemoteError(BicrossError, RuntimeError):
    """A hosted model refused, failed, or can't be reached."""


class AuthenticationError(RemoteError, PermissionError):
    """A hosted model refused the key, or asked for one; not tried again."""


class AnswerError(RemoteError, ValueError):
    """A hosted model answered something that can't be used: not JSON, too few vectors, NaN, another dimension."""


class TrainingError(BicrossError, RuntimeError):
    """A loss or a gradient wasn't a finite number; the message names the step, its queries and the last checkpoint."""


class StoreError(BicrossError, RuntimeError):
    """The vector store refused or failed."""


class CollectionNotFoundError(StoreError, LookupError):
    """The store has no such collection."""


class FingerprintMismatchError(StoreError, ValueError):
    """The collection was filled by another model."""


class DimensionMismatchError(StoreError, ValueError):
    """Vectors of another dimension than the collection's."""


class StoreLockedError(StoreError):
    """Another process has the folder open."""


class StorageFullError(StoreError, OSError):
    """Too little disk space is left to write safely."""


class BicrossWarning(UserWarning):
    """Base of all warnings of this package."""


class TruncationWarning(BicrossWarning):
    """Texts were cut to the model's limit; the message holds the count."""


class UnknownTokensWarning(BicrossWarning):
    """More than a tenth of the tokens are unknown: the model doesn't read this script."""


class UnknownIdsWarning(BicrossWarning):
    """Judgments name queries or documents that the data set doesn't have; the message counts and lists them."""
