"""The deployment's Kafka security, which is written in librdkafka's words, in Faust's."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from faust.auth import Credentials, SASLCredentials, SSLCredentials
from faust.types.auth import SASLMechanism

from common.errors import ConfigError

_CLIENT_KEYS = {"bootstrap.servers", "broker.address.family", "reconnect.backoff.max.ms", "socket.keepalive.enable"}
"""Settings of :func:`common.kafka.client_config` that are no security."""
_KNOWN = {
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
}
_HINT = "See BREAKWATER_KAFKA_SECURITY; the signals worker reads Kafka with Faust, which knows fewer settings."


def credentials(config: Mapping[str, Any]) -> Credentials | None:
    """Faust's credentials from librdkafka's client settings; None for plain text.

    Raises ConfigError for settings that have no like in Faust.
    """
    unknown = sorted(config.keys() - _CLIENT_KEYS - _KNOWN)
    if unknown:
        raise ConfigError(f"the signals worker cannot use the Kafka settings {', '.join(unknown)}", hint=_HINT)
    protocol = str(config.get("security.protocol", "plaintext")).upper()
    if protocol not in {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}:
        raise ConfigError(f"unknown security.protocol {protocol!r}", hint=_HINT)
    context = _ssl_context(config) if protocol.endswith("SSL") else None
    if protocol == "PLAINTEXT":
        return None
    if protocol == "SSL":
        return SSLCredentials(context)
    mechanism = str(config.get("sasl.mechanism", config.get("sasl.mechanisms", "")))
    usable = {one.value for one in SASLMechanism} - {"GSSAPI", "OAUTHBEARER"}
    if mechanism not in usable:
        raise ConfigError(
            f"the signals worker cannot use sasl.mechanism {mechanism!r}",
            hint=f"Use one of {', '.join(sorted(usable))}.",
        )
    return SASLCredentials(
        username=config.get("sasl.username"),
        password=config.get("sasl.password"),
        mechanism=mechanism,
        ssl_context=context,
    )


def _ssl_context(config: Mapping[str, Any]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.get("ssl.ca.location"))
        if "ssl.certificate.location" in config:
            context.load_cert_chain(config["ssl.certificate.location"], config.get("ssl.key.location"))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificates of BREAKWATER_KAFKA_SECURITY cannot be read: {error}", hint=_HINT
        ) from None
    return context
