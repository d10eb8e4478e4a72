"""Where a journal is, in one word of text: what settings and command lines say."""

from __future__ import annotations

from pathlib import Path

from agentrt.errors import SettingInvalid
from agentrt.journal.journal import Journal
from agentrt.journal.memory import MemoryJournal
from agentrt.journal.sqlite import SqliteJournal


def open_journal(text: str) -> Journal:
    """The journal that `text` names: "memory", or "sqlite:" and the path of a file, such as "sqlite:chat.db".

    A path may begin with "~". The file is opened, and made where there is none, by the journal's first call.

    Raises:
        SettingInvalid: it names none.
    """
    kind, _, path = text.partition(":")
    if text == "memory":
        return MemoryJournal()
    # "sqlite://chat.db" is other programs' way to write it; it would be a file at the root of the disk.
    if kind == "sqlite" and path and not path.startswith("//"):
        try:
            return SqliteJournal(Path(path).expanduser())
        except RuntimeError as error:  # there is no such home
            raise SettingInvalid(f"journal={text!r}: {error}") from error
    raise SettingInvalid(
        f'journal={text!r}: expected "memory", or "sqlite:" and a path: "sqlite:chat.db", "sqlite:/var/lib/chat.db"'
    )
