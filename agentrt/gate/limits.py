"""How much a provider lets us have."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from agentrt.errors import SettingInvalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one provider key may be asked for.

    Attributes:
        requests: Requests per period; None is unlimited.
        tokens: Tokens per period, input and output together; None is unlimited.
        per: Length of the period in seconds.
        burst: How much may leave at once, in seconds of the rate: `requests=50, per=1, burst=0.2` is 10
            requests. With 0 the calls leave evenly, one by one. Of it a tenth of a second, one unit at least, is
            kept in reserve. The default lets no sliding minute have more than a minute's limit.
        concurrency: Calls in flight at the same time.

    Raises:
        SettingInvalid: a value that allows nothing or is no number.
    """

    requests: float | None = None
    tokens: float | None = None
    per: float = 60.0
    burst: float = 0.5
    concurrency: int = 20

    def __post_init__(self) -> None:
        if not _positive(self.per):
            raise SettingInvalid(f"Limits(per={self.per!r}): a period needs more than 0 seconds")
        for name, limit in (("requests", self.requests), ("tokens", self.tokens)):
            if limit is not None and not _positive(limit):
                raise SettingInvalid(
                    f"Limits({name}={limit!r}): needs more than 0 {name} per {self.per:g} s, or None for no limit"
                )
        if not _positive(self.burst) and self.burst != 0:
            raise SettingInvalid(f"Limits(burst={self.burst!r}): needs 0 or more seconds of the rate")
        if type(self.concurrency) is not int or self.concurrency < 1:
            raise SettingInvalid(f"Limits(concurrency={self.concurrency!r}): needs a whole number of calls, 1 or more")


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value > 0
