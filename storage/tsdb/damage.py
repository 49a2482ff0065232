"""What is damaged on disk, told from what merely cannot be read just now."""

from model.errors import StorageError


class DamagedError(StorageError):
    """Bytes on disk are not what was written there; what they held is lost."""
