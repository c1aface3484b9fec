"""`scratchlm serve`: load models, listen, answer until it is stopped."""

from __future__ import annotations

import errno
import os
import socket
import sys

from scratchlm.base.device import set_threads
from scratchlm.base.errors import UserError
from scratchlm.serving.config import ServeConfig

KEY = "SCRATCHLM_API_KEY"
"""Environment variable of the key that clients must send."""
BACKLOG = 1024
"""Connections that wait to be accepted."""


def serve(config: ServeConfig) -> None:
    """Serve models until Ctrl-C or SIGTERM, then finish what is being answered.

    Raises `UserError` for an address in use and a model that cannot be loaded.
    """
    import uvicorn

    from scratchlm.serving.app import create_app
    from scratchlm.serving.connections import Connections
    from scratchlm.serving.limits import Limits
    from scratchlm.serving.models import load_served, require_models
    from scratchlm.serving.origins import Origins
    from scratchlm.serving.worker import Worker

    listening = listen(config.host, config.port)
    try:
        set_threads(config.threads)
        models = load_served(config)
        require_models(models)
        for each in models.values():
            each.wake()
        engines = [each.engine for each in models.values()]
        worker = Worker(engines, config.rows * len(engines) + config.queue)
        origins = Origins(config.host, config.allow_origin)
        limits = Limits(config.body_kib << 10, config.patience, origins, os.environ.get(KEY, "").strip())
        connections = Connections(config.patience)
        app = create_app(models, worker, limits, connections)

        class Server(uvicorn.Server):
            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                worker.refuse_new()
                await super().shutdown(sockets)

        settings = uvicorn.Config(
            app, log_level="critical", access_log=False, timeout_graceful_shutdown=max(1, round(config.patience)),
            timeout_keep_alive=30, server_header=False, proxy_headers=False, ws="none", http=connections.protocol(),
        )  # fmt: skip
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        place = f"http://{shown}:{port}/v1, with a page to chat at http://{shown}:{port}/"
        print(f"serving {', '.join(models)} at {place}; Ctrl-C ends it", file=sys.stderr, flush=True)
        Server(settings).run(sockets=[listening])
    finally:
        listening.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address. Raises `UserError` where that is not possible."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UserError(f"--host {host}: is no address of this machine; leave it out for 127.0.0.1") from error
    family, kind, protocol, _, address = addresses[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"--port {port}: is in use at {host}; choose another, or 0 for a free one") from error
        if error.errno == errno.EACCES:
            raise UserError(f"--port {port}: this user may not listen there; choose one from 1024 on") from error
        raise UserError(
            f"--host {host}: cannot be listened at ({error.strerror}); leave it out for 127.0.0.1"
        ) from error
    return listening
