"""Kafka security is written once, in librdkafka's words; the Faust worker follows it or refuses."""

from __future__ import annotations

import ssl

import pytest
from faust.auth import SASLCredentials, SSLCredentials

from common.errors import ConfigError
from processors.signals.credentials import credentials

BASE = {"bootstrap.servers": "localhost:9092", "reconnect.backoff.max.ms": 2000}


def test_without_security_there_are_no_credentials() -> None:
    assert credentials(BASE) is None
    assert credentials({**BASE, "security.protocol": "plaintext"}) is None


def test_sasl_over_tls_carries_name_password_and_mechanism() -> None:
    made = credentials(
        {
            **BASE,
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "desk",
            "sasl.password": "secret",
        }
    )
    assert isinstance(made, SASLCredentials)
    assert (made.username, made.password, made.mechanism.value) == ("desk", "secret", "SCRAM-SHA-512")
    assert made.ssl_context is not None and made.ssl_context.verify_mode == ssl.CERT_REQUIRED
    assert "secret" not in repr(made)


def test_tls_alone_verifies_the_broker() -> None:
    made = credentials({**BASE, "security.protocol": "SSL"})
    assert isinstance(made, SSLCredentials) and made.context.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sasl.oauthbearer.config": "x"}, r"cannot use the Kafka settings sasl\.oauthbearer\.config"),
        ({"security.protocol": "tls"}, "unknown security.protocol 'TLS'"),
        ({"security.protocol": "SASL_PLAINTEXT"}, "cannot use sasl.mechanism ''"),
        ({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "GSSAPI"}, "cannot use sasl.mechanism 'GSSAPI'"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/nowhere.pem"}, "certificates .* cannot be read"),
    ],
)
def test_what_faust_cannot_do_is_refused_by_name(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        credentials({**BASE, **given})
