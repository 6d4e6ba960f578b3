"""The records of a table's topic that no commit holds yet, as rows of that table.

A version of a table says in itself up to which offset its rows go (:mod:`lakehouse.store`), so the records from that
offset on are exactly those that it lacks, whatever the sink commits meanwhile. They are read to the topic's end as it
is when they are asked for, which is after the table was read: what was acknowledged before the question is in one of
the two, and nothing is in both. Snaps that were sent again after a crash are dropped as the sink would. Records that
cannot be decoded are left out; the sink makes dead letters of them.

They are kept in a file while the question is answered, as a sink that has been down leaves many.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from confluent_kafka import KafkaException

from common import endpoints, iceberg, kafka, schemas
from common.errors import InvariantError
from common.recorded.log import LogReader
from common.registry import Registry
from lakehouse.commits import Source, Standing, check_source
from lakehouse.records import Decoder, drop_repeated
from lakehouse.service import SNAP_TOPICS

ANSWER_S = 5.0
"""How long the broker may take to say that it is there."""

_TOPICS = {table: topic for topic, table in iceberg.TABLES.items()}


class Tails:
    """Reads tails into files of ``folder``. Close it at the end; serves one thread.

    Raises UnavailableError when broker or registry are not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._resources = ExitStack()
        self._registry = self._resources.enter_context(Registry(endpoints.resolve().registry_url, patience_s=ANSWER_S))
        self._admin = kafka.admin()
        try:
            self._topics = self._admin.list_topics(timeout=ANSWER_S)
        except KafkaException as error:
            raise kafka.unavailable("answer", error) from error

    def close(self) -> None:
        """Give up the connections."""
        self._resources.close()

    def read(self, name: str, topic: str, standing: Standing, columns: pa.Schema) -> ds.Dataset | None:
        """The rows that ``standing``'s version of the table ``name`` lacks, in its ``columns``; None when there are
        none.

        ``topic`` is the full name. Raises InvariantError when the topic is not the one that the table was filled from,
        or no longer holds what follows, UnavailableError when it cannot be read.
        """
        known = self._topics.topics.get(topic)
        if known is None or name not in _TOPICS:
            return None
        source = Source(kafka.cluster_id(self._admin), kafka.topic_ids([topic], client=self._admin)[topic])
        check_source(standing, source)
        record = schemas.load(_TOPICS[name])
        decoder = Decoder(record, self._registry.schema)
        path = self._folder / f"{name}.parquet"
        found = 0
        with pq.ParquetWriter(path, columns, compression="lz4") as file:
            for number in sorted(known.partitions):
                with closing(LogReader(kafka.consumer, self._registry.schema, "", number)) as log:
                    begin, end = _range(log, topic, standing)
                    marks = standing.marks
                    for messages in log.messages(topic, begin, end) if begin < end else ():
                        rows = decoder.decode(messages).table
                        if _TOPICS[name] in SNAP_TOPICS:
                            rows, marks = drop_repeated(rows, marks)
                        file.write_table(_fitted(rows, columns))
                        found += rows.num_rows
        return ds.dataset(path, schema=columns, format="parquet") if found else None


def _range(log: LogReader, topic: str, standing: Standing) -> tuple[int, int]:
    number = log.partition
    low, high = log.bounds(topic) or (0, 0)
    begin = standing.offsets.get(number, low)
    if not low <= begin <= high:
        raise InvariantError(
            f"the table goes on at offset {begin} of {topic}-{number}, which holds {low} to {high}",
            hint="Records between them are gone (retention), or the topic was recreated. The tables alone: --no-tail.",
        )
    return begin, high


def _fitted(rows: pa.Table, columns: pa.Schema) -> pa.Table:
    """The rows with these columns; one that they lack is null."""
    return pa.Table.from_arrays(
        [
            rows[field.name].cast(field.type)
            if field.name in rows.column_names
            else pa.nulls(rows.num_rows, field.type)
            for field in columns
        ],
        schema=columns,
    )
