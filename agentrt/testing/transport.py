"""A handler behind `httpx2`, without a socket: for tests on the virtual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

from agentrt.local.handler import Cut, Handler, Request, Response


class InMemoryTransport(httpx2.AsyncBaseTransport):
    """Answers with `handler`, in the caller's task: `httpx2.AsyncClient(transport=InMemoryTransport(handler))`.

    Nothing is buffered: each piece of a body arrives when it is produced, and closing the response early
    closes the body. A `Cut` becomes the error a socket would show.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        path = request.url.raw_path.partition(b"?")[0].decode("ascii")  # as sent: still percent-encoded
        asked = Request(request.method, path, headers, await request.aread())
        try:
            response = await self._handler(asked)
        except Cut as cut:
            raise httpx2.RemoteProtocolError(f"the server cut the connection before it answered: {cut}") from cut
        headers = dict(response.headers)
        return httpx2.Response(response.status, headers=headers, stream=_Body(response), request=request)


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: Response) -> None:
        self._body = response.body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._body)
        except Cut as cut:
            raise httpx2.RemoteProtocolError(f"the server cut the connection: {cut}") from cut

    async def aclose(self) -> None:
        aclose = getattr(self._body, "aclose", None)
        if aclose is not None:
            await aclose()
