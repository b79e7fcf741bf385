"""A small web server of this process, for tests."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def serving(handler: Callable[..., Any]) -> Iterator[int]:
    """Have *handler* answer at a port of the loopback, which is yielded."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        # A browser keeps connections open: nobody waits for them.
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
