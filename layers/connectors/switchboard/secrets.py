"""The connectors' secrets, out of Secrets Manager.

A secret is a JSON object with `baseUrl` and the vendor's credentials. It is kept for five minutes in each
process, so a rotated credential is seen by itself; `connector_secret(name, refresh=True)` reads it at once
(after a vendor's 401), and a new epoch of `config` forgets it in every process (POST /settings/reload).
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from switchboard import config
from switchboard.aws import secretsmanager
from switchboard.errors import SwitchboardError

CACHE_SECONDS = 300.0

# Shorter values are too likely to be parts of ordinary words.
_SHORTEST_MASKED = 6
# No such secret, no value in it yet, or the secret is marked for deletion.
_NOT_THERE = frozenset({"ResourceNotFoundException", "InvalidRequestException"})


class Secret:
    """One connector's secret; no value ever shows in its repr.

    Args:
        name: the connector, e.g. `siebel`.
        values: the JSON object; `baseUrl` must be an http(s) URL without user, query or fragment.

    Raises:
        SwitchboardError: `not-configured`, when `baseUrl` is missing or no such URL.
    """

    __slots__ = ("_values", "base_url", "name")

    def __init__(self, name: str, values: Mapping[str, object]) -> None:
        self.name = name
        self._values = dict(values)
        self.base_url = _base_url(name, self._values.get("baseUrl"))

    def __getitem__(self, key: str) -> str:
        """The credential `key`; SwitchboardError `not-configured` when the secret lacks it."""
        value = self.get(key)
        if value is None:
            raise SwitchboardError("not-configured", f"The secret of {self.name} lacks {key}.")
        return value

    def get(self, key: str) -> str | None:
        """The credential `key`, or None when it is missing, empty, or neither string nor whole number."""
        value = self._values.get(key)
        if isinstance(value, bool) or not isinstance(value, str | int):
            return None
        return str(value) or None

    def mask(self, text: str) -> str:
        """`text` with every credential of this secret replaced by `[redacted]`, wherever it stands."""
        values = (str(value) for key, value in self._values.items() if key != "baseUrl")
        # Longest first: a credential may be a part of another one.
        for value in sorted(values, key=len, reverse=True):
            if len(value) >= _SHORTEST_MASKED:
                text = text.replace(value, "[redacted]")
        return text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return self.name == other.name and self._values == other._values

    __hash__ = None  # type: ignore[assignment]  # equality is by mutable content

    def __repr__(self) -> str:
        return f"Secret({self.name!r}, keys={sorted(self._values)})"


_cache: dict[str, tuple[float, int, Secret]] = {}
"""By ARN: until when it is kept, the epoch in which it was read, the secret."""


def connector_secret(
    name: str, *, refresh: bool = False, clock: Callable[[], float] = time.monotonic
) -> Secret:
    """The secret of the connector `name`, whose ARN stands in `<NAME>_SECRET_ARN`.

    Args:
        name: the connector, e.g. `crowdtwist`.
        refresh: read it now, even when the kept one is younger than five minutes.
        clock: seconds, monotonic.

    Raises:
        SwitchboardError: `not-configured`, when there is no ARN, no such secret, or no `baseUrl` in it;
            `internal`, when Secrets Manager cannot be read and no earlier value is at hand.
    """
    variable = f"{name.upper().replace('-', '_')}_SECRET_ARN"
    arn = os.environ.get(variable, "")
    if not arn:
        raise SwitchboardError("not-configured", f"{variable} is not set.")
    kept = _cache.get(arn)
    epoch = config.epoch()
    if kept is not None and not refresh and clock() < kept[0] and epoch == kept[1]:
        return kept[2]
    try:
        text = _read(name, arn)
    except SwitchboardError as error:
        if error.code == "not-configured":
            _cache.pop(arn, None)
            raise
        if kept is None:
            raise
        # Secrets Manager is away: the last known credentials most likely still work.
        return kept[2]
    secret = _parse(name, text)
    _cache[arn] = (clock() + CACHE_SECONDS, epoch, secret)
    return secret


def clear() -> None:
    """Forget what this process has cached."""
    _cache.clear()


def _read(name: str, arn: str) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = secretsmanager().get_secret_value(SecretId=arn)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        if code in _NOT_THERE:
            raise SwitchboardError(
                "not-configured", f"The secret of {name} does not exist ({code})."
            ) from error
        raise SwitchboardError("internal", f"The secret of {name} cannot be read ({code}).") from error
    except BotoCoreError as error:
        raise SwitchboardError(
            "internal", f"The secret of {name} cannot be read ({type(error).__name__})."
        ) from error
    return answer.get("SecretString", "")


def _parse(name: str, text: str) -> Secret:
    values: object = None
    # No error is chained to the one below: the decoder's holds the whole secret.
    with suppress(ValueError):
        values = json.loads(text)
    if not isinstance(values, dict):
        raise SwitchboardError("not-configured", f"The secret of {name} is not a JSON object.")
    return Secret(name, values)


def _base_url(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SwitchboardError("not-configured", f"The secret of {name} lacks baseUrl.")
    url = value.strip().rstrip("/")
    if not _is_plain_http_url(url):
        raise SwitchboardError(
            "not-configured",
            f"The baseUrl of {name} is not an http or https URL without user, query and fragment.",
        )
    return url


def _is_plain_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    plain = (
        not (parts.query or parts.fragment or "@" in parts.netloc) and url.isprintable() and " " not in url
    )
    return parts.scheme in ("http", "https") and bool(host) and plain
