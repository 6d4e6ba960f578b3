"""Care of the tables beside a running sink: fewer and sorted files, bounded snapshots, no files that nobody names.

:mod:`.compaction`, :mod:`.manifests`, :mod:`.expiry` and :mod:`.orphans` each do one thing to one table, on the version
of it that they looked at, and say what they would do when asked to do nothing. None changes a row, nor the offsets
among the table's properties, and none removes a file that a kept snapshot names.
"""
