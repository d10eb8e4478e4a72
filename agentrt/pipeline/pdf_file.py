"""The text of a PDF, page by page, by PDFium (in the package `pypdfium2`).

PDFium is not safe in threads and reads what strangers wrote, so it runs in a worker process only.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from agentrt.pipeline.document import DocumentFailed

_pdfium: Any = import_module("pypdfium2")  # it has no types


def read_pdf(content: bytes) -> tuple[str, str]:
    """Title and text of the file; either may be empty.

    Raises:
        DocumentFailed: It is not a PDF that can be read.
    """
    try:
        with _pdfium.PdfDocument(content) as document:
            return str(document.get_metadata_value("Title")).strip(), "\n\n".join(_pages(document))
    except _pdfium.PdfiumError as error:
        raise DocumentFailed(f"the document is not a PDF that can be read: {error}", kind="not_a_pdf") from error


def _pages(document: Any) -> list[str]:
    texts: list[str] = []
    for number in range(len(document)):
        page = document[number]
        try:
            lines = page.get_textpage()
            try:
                text = str(lines.get_text_bounded())
            finally:
                lines.close()
        finally:
            page.close()
        texts.append("\n".join(line.strip() for line in text.splitlines()).strip())
    return [text for text in texts if text]
