"""What is kept beside the tables: small JSON files under ``_meta``, on the lake's disk or in its object store.

The embedded catalog's lie in ``<home>/lake/_meta``. Another catalog's lie in its warehouse, where every process of the
deployment finds them; the warehouse is the one that the catalog's properties name, else the folder above its tables.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

from pyarrow import fs
from pyiceberg.catalog import Catalog
from pyiceberg.io import load_file_io
from pyiceberg.io.pyarrow import PyArrowFileIO

from common import iceberg
from common.endpoints import local_catalog
from common.errors import InputError
from common.settings import settings

FOLDER = "_meta"


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
    """The one beside the deployment's tables. Raises UnavailableError when the catalog cannot be opened."""
    if not (iceberg.configured() or local_catalog()):
        return local()
    return _warehouse(iceberg.open_catalog()) or local()


def _warehouse(catalog: Catalog) -> Meta | None:
    place = catalog.properties.get("warehouse", "")
    io = load_file_io(dict(catalog.properties), place) if "://" in place else None
    if io is None:
        # The server alone knows the warehouse: its tables say where it is.
        name = next(iter(iceberg.table_names()), None)
        if name is None:
            return None
        table = catalog.load_table(name)
        io, place = table.io, table.location().rstrip("/").rpartition("/")[0].rpartition("/")[0]
    if not isinstance(io, PyArrowFileIO):
        return None
    scheme, netloc, path = PyArrowFileIO.parse_location(f"{place.rstrip('/')}/{FOLDER}")
    return Meta(io.fs_by_scheme(scheme, netloc), path)
