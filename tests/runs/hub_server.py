"""A server that speaks the part of the hub's protocol that huggingface_hub uses for small files."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_of_the_tests"


class Hub(ThreadingHTTPServer):
    """Repositories in memory.

    Attributes:
        commits: files by name, by commit, by repository; the last commit is the newest.
        requests: method and path of each request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.requests: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, repository: str, changes: dict[str, bytes]) -> str:
        """Adds a commit, which holds the files of the one before too; returns its name."""
        history = self.commits[repository]
        files = {**(next(reversed(history.values()), {})), **changes}
        content = json.dumps({name: hashlib.sha1(data).hexdigest() for name, data in files.items()}) + str(len(history))
        name = hashlib.sha1(content.encode()).hexdigest()
        history[name] = files
        return name

    def resolve(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Returns a commit and its files."""
        history = self.commits.get(repository, {})
        if revision == "main" and history:
            return next(reversed(history.items()))
        return (revision, history[revision]) if revision in history else None


class _Answers(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._get()

    def do_GET(self) -> None:
        self._get()

    def do_POST(self) -> None:
        self.server.requests.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/validate-yaml":
            return self._json({"warnings": [], "errors": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json({"error": "who is it?"}, 401)
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.server.commits.setdefault(name, {})
            return self._json({"url": f"{self.server.address}/{name}", "id": name, "name": name})
        _, _, _, user, name, action, _ = self.path.partition("?")[0].split("/")
        repository = f"{user}/{name}"
        if action == "preupload":
            files = json.loads(body)["files"]
            return self._json(
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
            )
        lines = [json.loads(line) for line in body.splitlines()]
        sent = [line["value"] for line in lines if line["key"] == "file"]
        oid = self.server.commit(repository, {file["path"]: base64.b64decode(file["content"]) for file in sent})
        url = f"{self.server.address}/{repository}/commit/{oid}"
        return self._json({"success": True, "commitUrl": url, "commitOid": oid, "hookOutput": ""})

    def _get(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[0] == "api":  # api/models/USER/NAME/revision/REVISION
            repository, revision = "/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main"
            found = self.server.resolve(repository, revision)
            if found is None:
                return self._missing(repository)
            return self._json({"id": repository, "sha": found[0], "siblings": [{"rfilename": n} for n in found[1]]})
        repository, revision, file = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
        found = self.server.resolve(repository, revision)
        if found is None:
            return self._missing(repository)
        commit, files = found
        if file not in files:
            return self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(files[file]).hexdigest()}"'}
        return self._bytes(files[file], 200, {**headers, "Content-Type": "application/octet-stream"})

    def _missing(self, repository: str) -> None:
        code = "RevisionNotFound" if repository in self.server.commits else "RepoNotFound"
        self._json({"error": "not found"}, 404, {"X-Error-Code": code})

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._bytes(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _bytes(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Prints nothing."""


@contextmanager
def running() -> Iterator[Hub]:
    """Runs the server until the end of the block."""
    hub = Hub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
