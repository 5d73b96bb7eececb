"""A hub on this machine: the few answers a download asks for, and the ways they go wrong."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

REVISION = "1234567890abcdef1234567890abcdef12345678"


@dataclass
class Hub:
    """One repository, served from a folder; `asked` are the paths that were asked for.

    `status` answers everything, or its files only, with an error; `cut_off` files end in the
    middle.
    """

    repository: str
    folder: Path
    status: int = 200
    error_code: str = ""
    files_only: bool = False
    cut_off: bool = False
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Serve a hub on a free port of 127.0.0.1 until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(path)
            refused = "/resolve/" in path or not hub.files_only
            if hub.status != 200 and refused:
                self._send(hub.status, b"{}", {"X-Error-Code": hub.error_code}, with_body)
            elif path.startswith(f"/api/models/{hub.repository}"):
                self._send(200, json.dumps(self._listing()).encode(), {}, with_body)
            elif path.startswith(f"/{hub.repository}/resolve/"):
                self._file(path.split("/", 5)[5], with_body)
            else:
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body)

        def _listing(self) -> dict[str, object]:
            siblings = [
                {
                    "rfilename": file.relative_to(hub.folder).as_posix(),
                    "size": file.stat().st_size,
                    "blobId": "0" * 40,
                }
                for file in hub.files()
            ]
            return {"id": hub.repository, "sha": REVISION, "siblings": siblings, "tags": []}

        def _file(self, name: str, with_body: bool) -> None:
            file = hub.folder / name
            if not file.is_file():
                self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"}, with_body)
                return
            content = file.read_bytes()
            headers = {
                "X-Repo-Commit": REVISION,
                "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
                "Accept-Ranges": "bytes",
            }
            first = 0
            status = 200
            if asked := self.headers.get("Range"):
                first = int(asked.removeprefix("bytes=").split("-")[0])
                status = 206
                headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            body = content[first:]
            cut = with_body and hub.cut_off and name.endswith(".safetensors")
            self._send(status, body, headers, with_body, cut=cut)

        def _send(self, status, body, headers, with_body, *, cut=False) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                self.wfile.flush()
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
