"""What is kept beside the tables: small JSON files under ``_meta``, on the lake's disk or in its object store.

The embedded catalog's lie in ``<home>/lake/_meta``. Another catalog's lie in its warehouse, where every process of the
deployment finds them; the warehouse is the one that the catalog's properties name, else the folder in which the catalog
would put a new table's namespace.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

from pyarrow import fs
from pyiceberg.catalog import Catalog
from pyiceberg.io import FileIO, load_file_io
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.schema import Schema

from common import iceberg
from common.endpoints import local_catalog
from common.errors import ConfigError, InputError
from common.settings import settings

FOLDER = "_meta"
_UNMADE = ("bronze", "unmade")
"""A table that is never made: the catalog is asked where it would be."""


@dataclass(frozen=True)
class Meta:
    """One ``_meta`` folder. Paths are relative to it, with ``/``."""

    files: fs.FileSystem
    root: str

    def write(self, path: str, data: Any) -> None:
        """Write JSON in one step: a reader sees the old file or the new one."""
        text = json.dumps(data, indent=2, sort_keys=True, default=str).encode() + b"\n"
        target = f"{self.root}/{path}"
        local = isinstance(self.files, fs.LocalFileSystem)
        # An object appears whole by itself; a file on disk is given its name once it is whole.
        written = f"{target}.{uuid.uuid4().hex}.part" if local else target
        if local:
            self.files.create_dir(target.rpartition("/")[0], recursive=True)
        with self.files.open_output_stream(written) as stream:
            stream.write(text)
        if local:
            self.files.move(written, target)

    def read(self, path: str) -> Any:
        """The JSON of a file; None when there is none. Raises InputError for a damaged one."""
        try:
            with self.files.open_input_stream(f"{self.root}/{path}") as stream:
                return json.loads(stream.read())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise InputError(f"{self.root}/{path} is damaged: {error}", hint="Restore it or remove it.") from error

    def names(self, folder: str) -> list[str]:
        """The names in a folder, sorted; none when there is no such folder."""
        found = self.files.get_file_info(fs.FileSelector(f"{self.root}/{folder}", allow_not_found=True))
        return sorted(info.base_name for info in found if not info.base_name.endswith(".part"))


def local() -> Meta:
    """The one of this home's disk."""
    return Meta(fs.LocalFileSystem(), str(settings().lake / FOLDER))


def shared() -> Meta:
    """The one beside the deployment's tables.

    Raises UnavailableError when the catalog cannot be opened, ConfigError when its store is not one that we can write.
    """
    if not (iceberg.configured() or local_catalog()):
        return local()
    io, place = _warehouse(iceberg.open_catalog())
    if not isinstance(io, PyArrowFileIO):
        raise ConfigError(
            f"nothing can be kept beside the tables in {place}: their store is read by {type(io).__name__}",
            hint="Set the catalog's py-io-impl to pyiceberg.io.pyarrow.PyArrowFileIO.",
        )
    scheme, netloc, path = PyArrowFileIO.parse_location(f"{place.rstrip('/')}/{FOLDER}")
    return Meta(io.fs_by_scheme(scheme, netloc), path)


def _warehouse(catalog: Catalog) -> tuple[FileIO, str]:
    """The store and the place of all tables."""
    place = catalog.properties.get("warehouse", "")
    if "://" in place:
        return load_file_io(dict(catalog.properties), place), place
    # The server alone knows it, and says it of a table that is to be made, also before there is any.
    iceberg.ensure_namespace(catalog, _UNMADE[0])
    # The store's credentials may come with the table, and a transaction shows them nowhere else.
    staged = catalog.create_table_transaction(_UNMADE, Schema())._table
    return staged.io, staged.location().rstrip("/").rpartition("/")[0].rpartition("/")[0]
