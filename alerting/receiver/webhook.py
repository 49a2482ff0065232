"""Alertmanager's webhook: its JSON, version 4, exactly.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from alerting.notification import Notification, fingerprint
from alerting.receiver.base import Receiver
from model.alert import Alert, AlertState
from model.clock import rfc3339
from model.errors import DeliveryError

_NEVER: Final = "0001-01-01T00:00:00Z"
_USER_AGENT: Final = "Taskscope"


@dataclass(frozen=True)
class WebhookReceiver:
    """Posts each notification to one address.

    Attributes:
        name: Of the receiver.
        url: Where to; it may hold a secret and is never printed.
        send_resolved: Whether to post when alerts are over.
        timeout_seconds: For one attempt.
        max_alerts: Most alerts in one post, 0 for all; the rest is counted in ``truncatedAlerts``.
    """

    name: str
    url: str = field(repr=False)
    send_resolved: bool = True
    timeout_seconds: float = 10.0
    max_alerts: int = 0

    def send(self, notification: Notification) -> None:
        """See ``Receiver.send``. Network failures, 429 and 5xx are retryable, other answers are not."""
        post(
            self.url,
            msgspec.json.encode(payload(notification, self.max_alerts)),
            self.timeout_seconds,
        )


def payload(notification: Notification, max_alerts: int = 0) -> dict[str, Any]:
    """Return the document Alertmanager would send."""
    alerts = notification.alerts
    kept = alerts[:max_alerts] if max_alerts else alerts
    return {
        "receiver": notification.receiver,
        "status": notification.status,
        "alerts": [_alert(alert) for alert in kept],
        "groupLabels": dict(notification.group_labels),
        "commonLabels": dict(notification.common_labels),
        "commonAnnotations": dict(notification.common_annotations),
        "externalURL": notification.external_url,
        "version": "4",
        "groupKey": notification.group_key,
        "truncatedAlerts": len(alerts) - len(kept),
    }


def _alert(alert: Alert) -> dict[str, Any]:
    firing = alert.state is AlertState.FIRING
    return {
        "status": "firing" if firing else "resolved",
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "startsAt": rfc3339(alert.fired_ms),
        "endsAt": _NEVER if firing else rfc3339(alert.resolved_ms),
        "generatorURL": alert.generator_url,
        "fingerprint": fingerprint(alert.labels),
    }


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would lose the body; it is answered as an error."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> None:
        return None


# no proxy: only the composition root reads the environment
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def post(url: str, body: bytes, timeout_seconds: float) -> None:
    """Post JSON.

    Raises:
        DeliveryError: For any answer but 2xx; without the address, which may be a secret.
    """
    headers = {"Content-Type": "application/json", "User-Agent": _USER_AGENT}
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        with _OPENER.open(request, timeout=timeout_seconds) as answer:
            answer.read(65_536)
    except urllib.error.HTTPError as error:
        with error:
            retryable = error.code == 429 or error.code >= 500
            after = error.headers.get("Retry-After", "")
            raise DeliveryError(
                f"answered {error.code} {error.reason}",
                retryable=retryable,
                retry_after_seconds=float(after) if after.isdigit() else None,
            ) from None
    except urllib.error.URLError as error:
        raise DeliveryError(f"cannot be reached: {error.reason}", retryable=True) from None
    except (OSError, http.client.HTTPException) as error:
        raise DeliveryError(f"failed: {type(error).__name__}: {error}", retryable=True) from None


if TYPE_CHECKING:
    _: type[Receiver] = WebhookReceiver
