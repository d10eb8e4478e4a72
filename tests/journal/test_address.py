from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentrt.errors import SettingInvalid
from agentrt.journal.address import open_journal
from agentrt.journal.memory import MemoryJournal


def test_memory_is_a_journal_of_its_own() -> None:
    assert isinstance(open_journal("memory"), MemoryJournal)


@pytest.mark.parametrize("text", ["sqlite:chat.db", "sqlite:./chat.db", "sqlite:~/chat.db", "sqlite:{}/chat.db"])
def test_a_path_is_relative_absolute_or_at_home(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        journal = open_journal(text.format(tmp_path))
        monkeypatch.chdir("/")  # the directory of the moment it was named counts
        await journal.take("r1")
        await journal.aclose()

    asyncio.run(main())
    assert [file.name for file in tmp_path.iterdir()] == ["chat.db"]


@pytest.mark.parametrize(
    "text",
    ["", "chat.db", "sqlite", "sqlite:", "sqlite://chat.db", "memory:x", "postgres:x", "sqlite:~nobody-at-all/x"],
)
def test_anything_else_is_told_what_is_expected(text: str) -> None:
    with pytest.raises(SettingInvalid, match=r"sqlite:chat\.db|home"):
        open_journal(text)
