"""Avro in Confluent framing: whole batches as columns (:class:`Codec`), single records as dictionaries."""

from __future__ import annotations

from common.avro.codec import BadRecord, Codec, Decoded, Encoded
from common.avro.rows import decode_row, encode_row

__all__ = ["BadRecord", "Codec", "Decoded", "Encoded", "decode_row", "encode_row"]
