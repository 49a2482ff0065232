"""What a receiver is."""

from typing import Protocol

from alerting.notification import Notification


class Receiver(Protocol):
    """Tells somebody.

    Attributes:
        name: Unique among the receivers.
        send_resolved: Whether it wants to hear that alerts are over.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see the class

    @property
    def send_resolved(self) -> bool: ...  # noqa: D102 - see the class

    def send(self, notification: Notification) -> None:
        """Deliver one notification and return when the far side has it.

        Raises:
            DeliveryError: If it was not taken; ``retryable`` tells whether to try again.
        """
        ...
