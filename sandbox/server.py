"""The sandbox's two listeners on loopback: plain HTTP, and HTTPS with a certificate that nobody can trust."""

import ipaddress
import socket
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sandbox.application import create_application
from sandbox.vendors import load

HOST = "127.0.0.1"
SHUTDOWN_SECONDS = 1.0


async def start(port: int) -> web.AppRunner:
    """Serve all vendors at a port, 0 for any, and behind bad TLS at a free one (`GET /_control/tls`).

    Who calls there and reads the certificate sends nothing; what all the same arrives is in the vendors'
    logs of calls like any other call.
    """
    secure = socket.create_server((HOST, 0))
    application = create_application(load(), tls_url=f"https://{HOST}:{secure.getsockname()[1]}")
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    await web.SockSite(runner, secure, ssl_context=_untrusted()).start()
    return runner


def _untrusted() -> ssl.SSLContext:
    """A server's side of TLS: the right address, valid today, signed by nobody but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody's partner")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), False)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        pem = Path(directory) / "server.pem"
        pem.touch(mode=0o600)
        pem.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context.load_cert_chain(pem)
    return context
