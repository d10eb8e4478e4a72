"""How a request reaches a service, up to the moment when its answer begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import httpx2
import openai

if TYPE_CHECKING:
    from agentrt.model.connections import Connections

_HEADERS = {"Accept-Encoding": "identity", "Content-Type": "application/json"}


class Sending(Protocol):
    """A way to send."""

    async def post(self, path: str, body: bytes) -> httpx2.Response:
        """An answer of status 2xx whose body is still to be read; it is the caller's to close.

        Raises:
            ProviderError: the service refused.
            httpx2.HTTPError: the connection failed.
        """
        ...


class ByPackage:
    """Through the `openai` package, which is told where, and what signs it. What it means by an error is put in our
    words.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        settings = connections.settings
        accept = "text/event-stream" if settings.profile.stream else "application/json"
        # The package names itself, and signs by "Authorization" alone; of another header it knows nothing.
        signed = {name: value for name, value in connections.signed().items() if name != "User-Agent"}
        self._headers: dict[str, str | openai.Omit] = {
            "Authorization": openai.Omit(),
            **_HEADERS,
            "Accept": accept,
            **signed,
        }
        self._client = openai.AsyncOpenAI(
            api_key=settings.api_key,
            base_url=connections.base_url,
            max_retries=0,
            timeout=connections.timeout,
            http_client=connections.client,
            default_query=settings.profile.query,
        )
        # Where these are anybody's business, our own headers say them.
        self._client.organization = self._client.project = None
        # The package would look at the operating system, in the loop's executor, to name it in a header.
        self._client._platform = "Unknown"

    async def post(self, path: str, body: bytes) -> httpx2.Response:
        try:
            answer = await self._client.post(
                path,
                cast_to=httpx2.Response,
                content=body,
                options={"headers": self._headers},
                stream=True,
                stream_cls=openai.AsyncStream[object],
            )
        except openai.APIStatusError as error:
            raise self._connections.refused(error.response) from error
        except openai.OpenAIError as error:  # the package wraps what the connection says
            raise self._connections.broken(error.__cause__ or error, None) from error
        return cast("httpx2.Response", answer)  # what `cast_to` asks for, whatever the type says
