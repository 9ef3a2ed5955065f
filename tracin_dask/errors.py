"""The errors a user can meet: each is also a builtin kind, so that `except ValueError` works as expected."""


class TracInDaskError(Exception):
    """Anything that this package refuses or cannot do; the message says what was found and what to do."""


class PlaceError(TracInDaskError, ValueError):
    """A URL of a kind of place that is not known, or a place that cannot be used."""


class ObjectStoreError(TracInDaskError, OSError):
    """An object store that refuses a request, or does not answer; the message says it all."""


class TriplesError(TracInDaskError, ValueError):
    """A text file of triples or an id map that cannot be read as such."""


class StoreError(TracInDaskError, ValueError):
    """A triple store that is missing, damaged or of another format version."""


class CheckpointError(TracInDaskError, ValueError):
    """A checkpoint that cannot be read or does not fit the id maps."""


class NoConvEError(CheckpointError):
    """A checkpoint of another model where only a ConvE can be read."""


class ConfigError(TracInDaskError, ValueError):
    """An option, or a combination of options, that makes no sense."""


class MemoryLimitError(TracInDaskError, MemoryError):
    """A run that cannot fit into the stated memory."""


class NonFiniteError(TracInDaskError, ArithmeticError):
    """A NaN or an infinity where only finite numbers make sense."""


class AuditError(TracInDaskError, ArithmeticError):
    """Influences that plain automatic differentiation does not confirm."""


class ResumeError(TracInDaskError, RuntimeError):
    """Recorded work that belongs to another run."""


class ScoresError(TracInDaskError, OSError):
    """An array of all influences that cannot be written, or belongs to another run."""


class ResultError(TracInDaskError, ValueError):
    """A result that cannot be read back, or not be written in the form or at the place that was asked for."""


class TruthError(TracInDaskError, ValueError):
    """A file of known explanations that cannot be read as such."""


class ClusterError(TracInDaskError, RuntimeError):
    """A cluster that cannot be started or reached."""
