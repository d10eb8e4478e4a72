"""Images as the APIs of OpenAI take them."""

from __future__ import annotations

from base64 import b64encode

from agentrt.messages import ImagePart


def image_url(image: ImagePart) -> str:
    """Its address, or its bytes as a data URL (RFC 2397)."""
    if image.url is not None:
        return image.url
    return f"data:{image.media_type};base64,{b64encode(image.data or b'').decode()}"
