"""Certificates made for the tests, and what the tests want to know of those in ACM."""

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ALL_KEYS = ["RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1"]
DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.timezone.utc)


@dataclass
class Pair:
    """A certificate with its key, and the chain to its authority."""

    certificate: x509.Certificate
    key: object
    chain: tuple = ()

    @property
    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self):
        return self.private()

    def private(self, encryption=None):
        encryption = encryption or serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)

    @property
    def chain_pem(self):
        return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in self.chain)

    def arguments(self):
        found = {"Certificate": self.pem, "PrivateKey": self.key_pem}
        return found | ({"CertificateChain": self.chain_pem} if self.chain else {})


def new_key(kind="EC_prime256v1"):
    made = {
        "EC_prime256v1": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EC_secp384r1": lambda: ec.generate_private_key(ec.SECP384R1()),
        "EC_secp521r1": lambda: ec.generate_private_key(ec.SECP521R1()),
        "RSA_2048": lambda: rsa.generate_private_key(65537, 2048),
        "RSA_2056": lambda: rsa.generate_private_key(65537, 2056),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    return made[kind]()


def pair(*names, kind="EC_prime256v1", signer=None, begin=-DAY, end=90 * DAY, key=None, common=None, purposes=(), authority=False, others=None, subject=()):
    """A certificate for names, or others in their place: self-signed, or signed by another pair. `subject` is what its subject has beside an organization and a common name."""
    key = key or new_key(kind)
    common = common if common is not None else (names[0] if names else "authority")
    attributes = [(NameOID.ORGANIZATION_NAME, "Test"), (NameOID.COMMON_NAME, common), *subject]
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.issuer_name(signer.certificate.subject if signer else subject)
    builder = builder.not_valid_before(NOW + begin).not_valid_after(NOW + end)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(others or [x509.DNSName(name) for name in names]), critical=False)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    signing = signer.key if signer else key
    algorithm = None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    chain = (signer.certificate, *signer.chain) if signer else ()
    return Pair(builder.sign(signing, algorithm), key, chain)


def revocation_list(authority, serials=(1, 2, 3)):
    """A revocation list of an authority, in PEM."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.certificate.subject)
    builder = builder.last_update(NOW - DAY).next_update(NOW + DAY).add_extension(x509.CRLNumber(1), critical=False)
    for serial in serials:
        builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY).build())
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def listed(acm, **more):
    """All certificates in ACM, whatever their keys."""
    pages = acm.get_paginator("list_certificates").paginate(Includes={"keyTypes": ALL_KEYS}, **more)
    return [found for page in pages for found in page["CertificateSummaryList"]]


SERVER_AND_CLIENT = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
