"""The errors that users can meet, each with its exit code on the command line.

A message says what is wrong, where, what was expected and found, and what to do next.
"""

MAX_CHARACTERS = 640
"""Maximum characters of a message, which may quote a stranger's text. A longer message keeps its beginning and end."""

_END = 200


class GemtabError(Exception):
    """Base of all errors that users see as one paragraph, without a traceback."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        if len(message) > MAX_CHARACTERS:
            message = f"{message[: MAX_CHARACTERS - _END - 3]} … {message[-_END:]}"
        super().__init__(message)


class UsageError(GemtabError):
    """The command or call has an invalid argument (exit code 2, as for wrong options)."""

    exit_code = 2


class CheckpointError(GemtabError):
    """A checkpoint is missing or damaged, or has a feature that gemtab does not know."""

    exit_code = 3


class BundleError(GemtabError):
    """A bundle is missing or damaged, or has another format version."""

    exit_code = 4


class DeviceError(GemtabError):
    """The GPU adapter is missing, lost, or its limits are too small."""

    exit_code = 5


class ParityError(GemtabError):
    """An export differs from its checkpoint by more than its weight format allows."""

    exit_code = 6


class ContextError(GemtabError):
    """A prompt does not fit into the context."""

    exit_code = 7


class OutputError(GemtabError):
    """The output could not be written: it exists, the disk is full, or the folder is not writable."""

    exit_code = 8


class MediaError(GemtabError):
    """An image, audio or video is damaged, of an unknown kind, or beyond a limit."""

    exit_code = 9


class HubError(GemtabError):
    """A model hub cannot be reached, or rejects a request."""

    exit_code = 10
