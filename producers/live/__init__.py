"""Live feeds into the log: what feeds say (:mod:`.arrivals`), how it is stamped, promised and kept."""
