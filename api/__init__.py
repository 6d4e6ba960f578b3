"""REST and WebSocket over signals, live and stored.

The life of a signal here: ``feed`` reads the topic in a thread, ``snaps`` cuts it into whole snaps with a sequence
number, ``live`` keeps the recent ones, ``payload`` says them as JSON once, and ``routes``, ``history`` and
``websocket`` hand them out.
"""
