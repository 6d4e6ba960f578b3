"""The schema registry's one owner: schemas in and out over the Confluent API (Confluent, Redpanda, Apicurio's ccompat).

Subjects follow TopicNameStrategy (``<topic>-value``, the topic's namespace included). Every subject is FULL_TRANSITIVE
before its first schema is registered, so only additions that are nullable get in, whatever the registry's own default.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from functools import cache
from types import TracebackType
from typing import Any, Self

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from common import schemas
from common.errors import ConfigError, SchemaError, UnavailableError
from common.schemas import RecordSchema
from common.telemetry import get_logger
from common.topics import full_name

log = get_logger("registry")

COMPATIBILITY = "FULL_TRANSITIVE"
PATIENCE_S = 30.0
"""How long a registry that does not answer is asked again."""
REQUEST_TIMEOUT_S = 10.0
UNKNOWN_S = 60.0
"""How long an id that the registry does not know is not asked for again: a topic may be full of such records."""
UNKNOWN_KEPT = 10_000
_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class _PassingError(Exception):
    """The registry did not answer, or said that it cannot now."""


@cache
def _topic_names() -> Mapping[str, str]:
    """Topic of each Avro record name."""
    return {schemas.load(name).avro["name"]: name for name in schemas.names()}


def subject_of(topic: str, namespace: str = "") -> str:
    """The subject of a topic's values."""
    return f"{full_name(topic, namespace)}-value"


class Registry:
    """A schema registry at ``url``, the base of its Confluent API. Threads may share one.

    Every method retries passing faults for ``patience_s`` seconds, then raises UnavailableError.
    """

    def __init__(
        self, url: str, *, patience_s: float = PATIENCE_S, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._shown = re.sub(r"//[^/@]*@", "//", url)  # an address may carry a password
        self._patience_s = patience_s
        self._schemas: dict[int, RecordSchema] = {}
        self._unknown: dict[int, tuple[float, SchemaError]] = {}
        headers = {"Accept": f"{_MEDIA_TYPE}, application/json", "Content-Type": _MEDIA_TYPE}
        try:
            self._client = httpx.Client(
                base_url=url, headers=headers, timeout=REQUEST_TIMEOUT_S, transport=transport, follow_redirects=True
            )
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise ConfigError(
                f"{self._shown!r} is not the address of a registry: {error}", hint="Set BREAKWATER_REGISTRY_URL."
            ) from None

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def register(self, schema: RecordSchema, namespace: str = "") -> int:
        """The id of the topic's value schema, registered if it is new.

        Raises SchemaError when it is incompatible with any earlier version; nothing is registered then.
        """
        subject = subject_of(schema.name, namespace)
        self.require_compatibility(subject)
        answer = self._request("POST", f"/subjects/{subject}/versions", {"schema": schema.avro_json})
        if answer.status_code == 409:
            known = self.lookup(schema, namespace)
            if known is not None:  # another service registered it at the same moment
                return known
            raise SchemaError(
                f"{subject}: the schema is not compatible with the versions registered before: {_reason(answer)}",
                hint="Only nullable fields with default null may be added; any other change needs a new topic (.v2).",
            )
        if answer.status_code == 422:
            raise SchemaError(f"{subject}: the registry refuses the schema: {_reason(answer)}")
        schema_id = self._json(answer).get("id")
        if not isinstance(schema_id, int):
            raise self._foreign(answer)
        return schema_id

    def ensure_all(self, namespace: str = "") -> dict[str, int]:
        """Register every schema of the platform in the namespace; the id by topic (without the namespace)."""
        return {name: self.register(schemas.load(name), namespace) for name in schemas.names()}

    def require_compatibility(self, subject: str) -> None:
        """Set the subject to FULL_TRANSITIVE, also one that has no schema yet."""
        # Apicurio answers 409 when two services set it at the same moment
        self._json(self._request("PUT", f"/config/{subject}", {"compatibility": COMPATIBILITY}, _PASSING | {409}))

    def lookup(self, schema: RecordSchema, namespace: str = "") -> int | None:
        """The id under which this schema is registered for its topic, None when it is not. Writes nothing."""
        answer = self._request("POST", f"/subjects/{subject_of(schema.name, namespace)}", {"schema": schema.avro_json})
        if answer.status_code == 404:
            return None
        return int(self._json(answer)["id"])

    def schema(self, schema_id: int) -> RecordSchema:
        """The schema of that id; asked for once, as it never changes.

        Raises SchemaError when there is none, or when it is none that the platform can read; such an id is asked for
        again after `UNKNOWN_S`.
        """
        known = self._schemas.get(schema_id)
        if known is not None:
            return known
        asked_s, refusal = self._unknown.get(schema_id, (-UNKNOWN_S, None))
        if refusal is not None and time.monotonic() - asked_s < UNKNOWN_S:
            raise SchemaError(str(refusal), hint=refusal.hint)
        try:
            known = self._schemas[schema_id] = self._fetch(schema_id)
        except SchemaError as error:
            if len(self._unknown) >= UNKNOWN_KEPT:
                self._unknown.clear()
            self._unknown[schema_id] = time.monotonic(), error
            raise
        return known

    def _fetch(self, schema_id: int) -> RecordSchema:
        if not 0 <= schema_id < 2**31:
            raise SchemaError(f"{schema_id} is not a schema id")
        answer = self._request("GET", f"/schemas/ids/{schema_id}")
        if answer.status_code == 404:
            raise SchemaError(
                f"{self._shown} has no schema with id {schema_id}",
                hint="The records were written with another registry, or are not Avro: see BREAKWATER_REGISTRY_URL.",
            )
        body = self._json(answer)
        if body.get("schemaType", "AVRO") != "AVRO":
            raise SchemaError(f"schema id {schema_id} is {body['schemaType']}, not Avro")
        try:
            avro = json.loads(body["schema"])
            name = str(avro["name"])
            return schemas.parse(_topic_names().get(name, name), avro)
        except (KeyError, TypeError, ValueError) as error:
            raise SchemaError(f"schema id {schema_id} is not an Avro record: {error!r}") from error

    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        passing: frozenset[int] = _PASSING,
    ) -> httpx.Response:
        """One answer that says something: passing faults are retried, refusals of the caller raised."""
        content = None if body is None else json.dumps(body).encode()

        def once() -> httpx.Response:
            try:
                answer = self._client.request(method, path, content=content)
            except httpx.TransportError as error:
                raise _PassingError(f"{type(error).__name__}: {error}") from error
            if answer.status_code in passing:
                raise _PassingError(f"HTTP {answer.status_code}: {_reason(answer)}")
            return answer

        retrying = Retrying(
            retry=retry_if_exception_type(_PassingError),
            wait=wait_exponential_jitter(multiplier=0.1, max=3.0, jitter=0.1),
            stop=stop_after_delay(self._patience_s),
            before_sleep=self._report,
            reraise=True,
        )
        try:
            answer: httpx.Response = retrying(once)
        except _PassingError as fault:
            raise UnavailableError(
                f"the schema registry at {self._shown} does not answer: {fault}",
                hint="Is it running? ./breakwater status shows the local stack; BREAKWATER_REGISTRY_URL names another.",
            ) from fault
        if answer.status_code in (401, 403):
            raise ConfigError(
                f"the schema registry at {self._shown} refuses {method} {path}: HTTP {answer.status_code}",
                hint="Give credentials in BREAKWATER_REGISTRY_URL (https://user:password@host).",
            )
        return answer

    def _report(self, state: RetryCallState) -> None:
        fault = state.outcome.exception() if state.outcome else None
        log.warning("registry_retry", registry=self._shown, attempt=state.attempt_number, fault=str(fault))

    def _json(self, answer: httpx.Response) -> dict[str, Any]:
        """The body of a success. Anything else is an answer that this API does not give."""
        try:
            body = answer.json()
        except ValueError:
            raise self._foreign(answer) from None
        if answer.is_success and isinstance(body, dict):
            return body
        raise self._foreign(answer)

    def _foreign(self, answer: httpx.Response) -> UnavailableError:
        return UnavailableError(
            f"{self._shown} does not answer like a schema registry: HTTP {answer.status_code} to"
            f" {answer.request.method} {answer.request.url.path}: {_reason(answer)}",
            hint="BREAKWATER_REGISTRY_URL must be the base of the Confluent API, e.g. http://host:8081"
            " or http://host:8080/apis/ccompat/v7.",
        )


def _reason(answer: httpx.Response) -> str:
    """What the registry said, in one line."""
    try:
        text = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        text = answer.text
    return " ".join(text.split())[:500] or "(no explanation)"
