"""Requests handed to the transport itself.

What the `openai` package and a client put around a request - options, cookies, redirects, a second look at headers -
costs two thirds of a call and is not wanted here: headers and addresses are ours, and the same with every request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from agentrt.model.connections import BROKEN

if TYPE_CHECKING:
    from agentrt.model.connections import Connections


class Straight:
    """A `Sending` that needs no `openai` package."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        accept = "text/event-stream" if connections.settings.profile.stream else "application/json"
        signed = {
            "Accept": accept,
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            **connections.signed(),
        }
        self._headers = [(name.encode(), value.encode()) for name, value in signed.items()]
        self._timeouts = {"timeout": connections.timeout.as_dict()}
        self._urls: dict[str, httpx2.URL] = {}

    async def post(self, path: str, body: bytes) -> httpx2.Response:
        """See `Sending`."""
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx2.URL(self._connections.address(path))
        headers = [(b"Host", url.netloc), *self._headers, (b"Content-Length", b"%d" % len(body))]
        stream = httpx2.ByteStream(body)  # as `content` the body would be looked at, and the headers gone through again
        request = httpx2.Request("POST", url, headers=headers, stream=stream, extensions=self._timeouts)
        try:
            answer = await self._connections.transport.handle_async_request(request)
            answer.request = request
            if not answer.is_success:
                try:
                    await answer.aread()
                finally:
                    await answer.aclose()
        except BROKEN as error:
            raise self._connections.broken(error, None) from error
        if not answer.is_success:
            raise self._connections.refused(answer)
        return answer
