"""One call of a partner's URL: TLS that cannot be trusted, addresses that may not be called."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from functions.trigger_delivery import attempt
from switchboard import clock, egress, egress_client
from switchboard.crm_events import new_event
from switchboard.triggers.deliveries import Delivery
from switchboard.triggers.store import Trigger


def trigger(url: str) -> Trigger:
    now = clock.timestamp()
    return Trigger("trg_a", "admin", url, "*", "*", "query", "GET", "active", now, now)


def delivery() -> Delivery:
    event = new_event("customer", "edit", origin="builtin", account_id="a")
    now = clock.timestamp()
    return Delivery("dlv_a_b", "trg_a", "admin", event, "pending", 0, 0, [], now, now)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    egress_client.client.cache_clear()
    yield
    egress_client.client().close()
    egress_client.client.cache_clear()


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[int]:
    """The port of a server whose certificate nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "partner")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(clock.now() - timedelta(days=1))
        .not_valid_after(clock.now() + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    thread.join(5)
    listener.close()


def test_a_certificate_that_nobody_signed_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, self_signed: int
) -> None:
    monkeypatch.setenv("LOCAL_STACK", "true")
    monkeypatch.setenv("STAGE", "test")
    made = attempt.call(trigger(f"https://127.0.0.1:{self_signed}/x"), delivery())
    assert (made.error_class, made.status_code) == ("tls", None)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1"])
def test_a_name_that_turns_on_us_is_never_connected_to(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    connected: list[object] = []
    monkeypatch.setenv("LOCAL_STACK", "false")
    monkeypatch.setattr(egress, "resolve_host", lambda host, port: ["93.184.216.34", address])
    monkeypatch.setattr(socket, "create_connection", lambda *found, **_: connected.append(found))
    made = attempt.call(trigger("https://partner.example.com/x"), delivery())
    assert made.error_class == "blocked"
    assert connected == []


def test_a_url_that_has_become_forbidden_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_STACK", "false")
    made = attempt.call(trigger("http://127.0.0.1:8600/saved-on-a-local-stack"), delivery())
    assert made.error_class == "blocked"


def test_a_name_without_an_address_is_a_failure_of_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(host: str, port: int) -> list[str]:
        raise socket.gaierror

    monkeypatch.setattr(egress, "resolve_host", nobody)
    made = attempt.call(trigger("https://partner.example.com/x"), delivery())
    assert made.error_class == "dns"
