"""Server-sent events, split by hand: bytes in, the data of whole events out.

Follows the event stream format of the HTML standard (section 9.2.6) for what concerns us: lines end
in CRLF, LF or CR; several `data` lines of one event are joined by a line feed; a blank line ends the
event. Comments and other fields say nothing of the reply. Unlike the standard, `close` also gives
the event that lacks its blank line: providers forget it after the last one, and an event cut short
cannot be taken for a whole one, for its JSON does not parse.

The state is the line begun (`_line`, its parts so far), the event begun (`_data`, its whole `data`
lines, and `_failed`, whether it tells of an error) and whether the last byte was a CR, whose LF may
still come.
"""

from __future__ import annotations

_BOM = b"\xef\xbb\xbf"


class EventSplitter:
    """Indifferent to where the bytes are cut; the cost is linear in their number.

    Args:
        errors: For dialects that mark errors in the data alone. The data of an event named `error`, and what
            stands in a field `error:`, which is no field of the standard, is given as `{"error": ...}`.
    """

    def __init__(self, *, errors: bool = False) -> None:
        self._errors = errors
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._failed = False
        self._after_cr = False

    @property
    def amid_data(self) -> bool:
        """Whether a line other than a comment has begun and not ended."""
        return bool(self._line) and not self._line[0].startswith(b":")

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that these bytes complete."""
        if self._after_cr or b"\r" in data:
            data = self._with_plain_line_feeds(data)
        end = data.find(b"\n")
        if end < 0:
            if data:
                self._line.append(data)
            return []
        begun = self._line or self._data or self._failed
        if end == len(data) - 2 and data[-1] == 10 and data[:6] == b"data: " and not begun:
            # One whole event of one line: nearly all of them arrive like this.
            return [data[6:end]]
        if self._line:
            self._line.append(data)
            data = b"".join(self._line)
        lines = data.split(b"\n")
        rest = lines.pop()
        self._line = [rest] if rest else []
        return self._events_of(lines)

    def close(self) -> list[bytes]:
        """No more bytes will come: the data of the event left without its blank line, if any."""
        return self.feed(b"\n\n")

    def _events_of(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(self._event())
                self._failed = False
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line.startswith(_BOM + b"data:"):
                self._data.append(line[8:].removeprefix(b" "))
            elif self._errors:
                self._note_error(line)
        return events

    def _event(self) -> bytes:
        event, self._data = b"\n".join(self._data), []
        return b'{"error":%b}' % event if self._failed else event

    def _note_error(self, line: bytes) -> None:
        if line.startswith(b"error:"):
            self._data.append(line[6:])
            self._failed = True
        elif line.startswith(b"event:"):
            self._failed = self._failed or line[6:].strip() == b"error"

    def _with_plain_line_feeds(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
