"""The errors of the Kinesis API, under the names that AWS gives them."""

from __future__ import annotations


class KinesisError(Exception):
    """A request is refused; the class's `code` is the error type that the client sees."""

    code = "InternalFailure"
    status = 400


class ResourceNotFoundError(KinesisError):
    """No such stream or shard."""

    code = "ResourceNotFoundException"


class ResourceInUseError(KinesisError):
    """The stream is there already."""

    code = "ResourceInUseException"


class InvalidArgumentError(KinesisError):
    """An argument has a value that does not fit the stream as it is."""

    code = "InvalidArgumentException"


class ValidationError(KinesisError):
    """An argument breaks the API's own limits."""

    code = "ValidationException"


class LimitExceededError(KinesisError):
    """A reshard goes further in one step than the service allows."""

    code = "LimitExceededException"


class ThroughputExceededError(KinesisError):
    """A shard's rate limit is used up for the moment."""

    code = "ProvisionedThroughputExceededException"


class ExpiredIteratorError(KinesisError):
    """A shard iterator is older than five minutes."""

    code = "ExpiredIteratorException"


class UnknownOperationError(KinesisError):
    """The stand-in does not have this operation."""

    code = "UnknownOperationException"


class StorageError(KinesisError):
    """The disk refused a write; nothing of the request is kept."""

    code = "InternalFailure"
    status = 500
