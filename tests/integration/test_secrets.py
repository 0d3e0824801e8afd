"""A connector's secret is read from Secrets Manager, kept for five minutes, and never shown."""

import json
import traceback
from collections.abc import Callable, Iterator
from functools import cache

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from switchboard import config, secrets
from switchboard.errors import SwitchboardError
from switchboard.secrets import Secret, connector_secret
from tests.support.tables import mocked_aws

VALUES = {
    "baseUrl": "https://siebel.example/siebel/v1.0/",
    "username": "SADMIN",
    "password": "hunter2-hunter2",
}


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def aws() -> Iterator[None]:
    secrets.clear()
    config.forget()
    with mocked_aws():
        yield
    secrets.clear()
    config.forget()


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Writes what the secret of `siebel` holds from now on."""
    store = boto3.client("secretsmanager")
    arn = store.create_secret(Name="switchboard/siebel", SecretString="{}")["ARN"]
    monkeypatch.setenv("SIEBEL_SECRET_ARN", arn)

    def write(value: object) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        store.put_secret_value(SecretId=arn, SecretString=text)

    return write


def test_the_secret_gives_the_base_url_and_the_credentials(put: Callable[[object], None]) -> None:
    put(VALUES | {"port": 8443})

    secret = connector_secret("siebel")

    assert secret.base_url == "https://siebel.example/siebel/v1.0"
    assert secret["username"] == "SADMIN"
    assert secret["port"] == "8443"
    assert secret.get("token") is None


def test_it_is_kept_for_five_minutes(put: Callable[[object], None]) -> None:
    clock = Clock()
    put(VALUES)
    connector_secret("siebel", clock=clock)
    put(VALUES | {"password": "rotated-rotated"})

    clock.seconds += 299
    assert connector_secret("siebel", clock=clock)["password"] == VALUES["password"]
    clock.seconds += 1
    assert connector_secret("siebel", clock=clock)["password"] == "rotated-rotated"


def test_a_refresh_sees_a_rotation_at_once(put: Callable[[object], None]) -> None:
    put(VALUES)
    before = connector_secret("siebel")
    put(VALUES | {"password": "rotated-rotated"})

    after = connector_secret("siebel", refresh=True)

    assert after != before
    assert after["password"] == "rotated-rotated"
    assert connector_secret("siebel") is after


def test_a_reload_sees_a_rotation_at_once(put: Callable[[object], None]) -> None:
    put(VALUES)
    connector_secret("siebel")
    put(VALUES | {"password": "rotated-rotated"})

    secrets.clear()

    assert connector_secret("siebel")["password"] == "rotated-rotated"


def test_without_an_arn_the_connector_is_not_configured() -> None:
    with pytest.raises(SwitchboardError, match="QUESTIONPRO_SECRET_ARN") as caught:
        connector_secret("questionpro")
    assert caught.value.code == "not-configured"


def test_an_unknown_arn_is_not_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCC_SECRET_ARN", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:gone-AbCdEf")

    with pytest.raises(SwitchboardError) as caught:
        connector_secret("vcc")

    assert caught.value.code == "not-configured"


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"username": "SADMIN"},
        {"baseUrl": ""},
        {"baseUrl": 7},
        {"baseUrl": "ftp://siebel.example"},
        {"baseUrl": "siebel.example"},
        {"baseUrl": "https://"},
        {"baseUrl": "https://user:pass@siebel.example"},
        {"baseUrl": "https://siebel.example/?api_key=abc"},
        {"baseUrl": "https://[::1"},
        {"baseUrl": "https://siebel.example:port"},
        {"baseUrl": "https://siebel.example/a\nb"},
        ["https://siebel.example"],
        "not json",
    ],
)
def test_a_secret_without_a_usable_base_url_is_not_configured(
    put: Callable[[object], None], value: object
) -> None:
    put(value)

    with pytest.raises(SwitchboardError) as caught:
        connector_secret("siebel")

    assert caught.value.code == "not-configured"


def test_a_secret_that_is_filled_in_later_works_without_a_reload(put: Callable[[object], None]) -> None:
    with pytest.raises(SwitchboardError):
        connector_secret("siebel")

    put(VALUES)

    assert connector_secret("siebel")["username"] == "SADMIN"


def test_a_missing_credential_is_named(put: Callable[[object], None]) -> None:
    put(VALUES)

    with pytest.raises(SwitchboardError, match="lacks apiKey") as caught:
        connector_secret("siebel")["apiKey"]

    assert caught.value.code == "not-configured"


def test_no_value_shows_in_a_repr_or_in_an_error(put: Callable[[object], None]) -> None:
    put(VALUES)
    assert "hunter2" not in f"{connector_secret('siebel')!r} {connector_secret('siebel')}"

    put('{"password": "hunter2-hunter2", oops')
    with pytest.raises(SwitchboardError) as caught:
        connector_secret("siebel", refresh=True)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_credentials_are_masked_in_any_text() -> None:
    secret = Secret("siebel", VALUES | {"apiKey": "hunter2-hunter2-longer", "tiny": "SBL"})

    masked = secret.mask("SBL-EAI: bad hunter2-hunter2-longer and hunter2-hunter2 for SADMIN")

    assert masked == "SBL-EAI: bad [redacted] and [redacted] for [redacted]"


@pytest.mark.parametrize(
    "failure",
    [
        EndpointConnectionError(endpoint_url="https://secretsmanager"),
        ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "GetSecretValue"),
    ],
)
def test_while_secrets_manager_is_away_the_last_known_secret_serves(
    put: Callable[[object], None], monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    put(VALUES)
    before = connector_secret("siebel")

    class Away:
        def get_secret_value(self, **_: object) -> object:
            raise failure

    monkeypatch.setattr(secrets, "secretsmanager", cache(Away))
    assert connector_secret("siebel", refresh=True) == before

    secrets.clear()
    with pytest.raises(SwitchboardError) as caught:
        connector_secret("siebel")
    assert caught.value.code == "internal"
