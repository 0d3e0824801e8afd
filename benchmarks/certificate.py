"""A certificate for 127.0.0.1, with its key, for what the benchmarks talk to over TLS."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def self_signed(folder: Path) -> Path:
    """The certificate and its key, one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sink")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "sink.pem"
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(private + made.public_bytes(encoding))
    return pem


def trusted(folder: Path) -> Path:
    """The same; beside it `ca.pem`: the public authorities, whose reading takes its time, and this one."""
    import botocore

    pem = self_signed(folder)
    authorities = (Path(botocore.__file__).parent / "cacert.pem").read_text()
    own = pem.read_text()
    certificate = own[own.index("-----BEGIN CERTIFICATE") :]
    (folder / "ca.pem").write_text(f"{authorities}\n{certificate}")
    return pem
