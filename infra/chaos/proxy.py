"""A TCP proxy that can lose answers: the server does what it was asked to, and the client never hears of it."""

from __future__ import annotations

import contextlib
import socket
import threading

WRITES = (b"POST ", b"PUT ")
CHUNK_BYTES = 65_536


class Proxy:
    """Forwards to a port of this machine; of the answers to writes it loses as many as `lose` says."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._to_lose = 0
        self.lost = 0
        threading.Thread(target=self._accept, name=f"proxy-{target_port}", daemon=True).start()

    def lose(self, answers: int) -> None:
        """The next so many answers to writes are not delivered."""
        with self._lock:
            self._to_lose = answers

    def close(self) -> None:
        """Take no more connections; those that are open go on."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                client.close()
                continue
            wrote = threading.Event()
            for pump in (self._requests, self._answers):
                threading.Thread(target=pump, args=(client, server, wrote), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket, wrote: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(CHUNK_BYTES):
                if data.startswith(WRITES):
                    wrote.set()
                elif data.startswith((b"GET ", b"HEAD ")):
                    wrote.clear()
                server.sendall(data)
        _end(client, server)

    def _answers(self, client: socket.socket, server: socket.socket, wrote: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(CHUNK_BYTES):
                if wrote.is_set() and not data.startswith(b"HTTP/1.1 100") and self._loses():
                    break
                client.sendall(data)
        _end(client, server)

    def _loses(self) -> bool:
        with self._lock:
            if self._to_lose == 0:
                return False
            self._to_lose -= 1
            self.lost += 1
            return True


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
