"""What a live producer has received and the broker has not acknowledged, on disk, in order (plan §2.5).

Every frame is written before it is sent, so a killed process loses nothing that it had stamped; what was fsynced
outlives the machine too. :mod:`.frames` is the format, :mod:`.spool` the files.
"""

from producers.spool.frames import Frame
from producers.spool.spool import Limits, Place, Spool

__all__ = ["Frame", "Limits", "Place", "Spool"]
