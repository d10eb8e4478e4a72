"""The rules about packages: who needs one, what one needs, what one is.

They know the tools `dependents`, `requirements`, `about`, `search` and `fetch_document` by name and by the form of
their results, and no package.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agentrt.local.asking import EACH_OF_THEM, IS_IT_HERE, WHAT_IT_IS, WHAT_IT_NEEDS, WHETHER_IT_NEEDS, WHO_NEEDS, names
from agentrt.local.plan import Call, Inquiry, Rule
from agentrt.local.quote import about, same_name
from agentrt.local.results import Sources, document, hits, quoted, rows, said, unread

NAMED = 12
"""Packages of one extra that are named."""


class Dependent(msgspec.Struct, frozen=True):
    """A row of `dependents`: who needs it, under what condition, with what extra, documented where."""

    name: str
    version: str = ""
    condition: str | None = None
    extra: str | None = None
    url: str | None = None


class Requirement(msgspec.Struct, frozen=True):
    """A row of `requirements`; `note` says what the tool left out."""

    name: str
    specifier: str | None = None
    condition: str | None = None
    extra: str | None = None
    note: str = msgspec.field(default="", name="(note)")


class Package(msgspec.Struct, frozen=True):
    """The row of `about`."""

    name: str
    version: str = ""
    summary: str | None = None
    url: str | None = None


_DEPENDENTS = msgspec.json.Decoder(list[Dependent])
_REQUIREMENTS = msgspec.json.Decoder(list[Requirement])
_ABOUT = msgspec.json.Decoder(list[Package])


def _introduced(inquiry: Inquiry, name: str, url: str | None, sources: Sources) -> tuple[str, bool]:
    """What its document says a package is, or why that cannot be told; and whether it could."""
    if not url:
        return "no document of it is known", False
    text = document(inquiry, url)
    if text is None:
        return unread(inquiry, url), False
    sentence = about(text, name)
    mark = sources.cite(name, url)
    if sentence is None:
        return f"its document has no sentence that says what it does {mark}", False
    return f"“{sentence}” {mark}", True


# ---- who needs a package ---------------------------------------------------------------------------


def _dependents(inquiry: Inquiry) -> list[Dependent] | None:
    return rows(inquiry, "dependents", inquiry.subject, _DEPENDENTS)


def _dependents_calls(inquiry: Inquiry) -> Sequence[Call]:
    return [
        Call("dependents", inquiry.subject),
        Call("search", inquiry.question),
        *(Call("fetch_document", row.url) for row in _dependents(inquiry) or () if row.url),
    ]


def _dependents_answer(inquiry: Inquiry) -> str:
    subject, found = inquiry.subject, _dependents(inquiry)
    if found is None:
        words = said(inquiry, "dependents", subject)
        return f"I cannot tell which installed packages need {subject}: `dependents` gave no list, it said {words}."
    sources = Sources()
    needing = _merged([row for row in found if not row.extra])
    needing_names = {row.name for row in needing}
    optional = _merged([row for row in found if row.extra and row.name not in needing_names])
    match len(needing):
        case 0:
            text = f"No installed package needs {subject}" + (" without an extra." if optional else ".")
        case 1:
            text = f"One installed package needs {subject}:\n"
        case count:
            text = f"{count} installed packages need {subject}:\n"
    text += "".join(f"\n- {_dependent_line(inquiry, row, sources)}" for row in needing)
    if optional:
        text += "\n\nOptional, only with an extra:\n"
        text += "".join(f"\n- {_dependent_line(inquiry, row, sources)}" for row in optional)
    return text + _itself(inquiry, sources) + str(sources)


def _merged(found: Sequence[Dependent]) -> list[Dependent]:
    """One row a name, with all its conditions and extras, in the order of the names."""
    merged: dict[str, Dependent] = {}
    for row in found:
        known = merged.setdefault(row.name, row)
        if known is not row:
            condition = _both(known.condition, row.condition, " or ")
            extra = _both(known.extra, row.extra, ", ")
            merged[row.name] = msgspec.structs.replace(known, condition=condition, extra=extra)
    return [merged[name] for name in sorted(merged)]


def _both(one: str | None, other: str | None, between: str) -> str | None:
    if not one or not other:
        return None  # One of the ways takes no condition.
    return one if other in one.split(between) else one + between + other


def _dependent_line(inquiry: Inquiry, row: Dependent, sources: Sources) -> str:
    head = f"{row.name} {row.version}".strip()
    if row.extra:
        head += f", extra {row.extra}"
    if row.condition:
        head += f" (given {row.condition})"
    return f"{head}: {_introduced(inquiry, row.name, row.url, sources)[0]}"


def _itself(inquiry: Inquiry, sources: Sources) -> str:
    """What the package asked about is, if the search came upon its own document."""
    for hit in hits(inquiry) or ():
        if same_name(hit.title, inquiry.subject) and (sentence := about(hit.text, hit.title, certain=True)):
            return f"\n\n{hit.title} itself: “{sentence}” {sources.cite(hit.title, hit.url)}"
    return ""


# ---- what a package is -----------------------------------------------------------------------------


def _package(inquiry: Inquiry, name: str) -> Package | None:
    return next(iter(rows(inquiry, "about", name, _ABOUT) or ()), None)


def _is_missing(inquiry: Inquiry, name: str) -> bool:
    """Whether it is certain that no installed package has that name."""
    return rows(inquiry, "about", name, _ABOUT) == []


def _about_calls(inquiry: Inquiry) -> Sequence[Call]:
    return _looked_up(inquiry, names(inquiry.subject))


def _looked_up(inquiry: Inquiry, wanted: Sequence[str]) -> list[Call]:
    """What `about` knows of each, and the documents it names."""
    packages = (_package(inquiry, name) for name in wanted)
    fetches = [Call("fetch_document", package.url) for package in packages if package and package.url]
    return [*(Call("about", name) for name in wanted), *fetches]


def _about_answer(inquiry: Inquiry) -> str:
    sources = Sources()
    lines = [_about_line(inquiry, name, sources) for name in names(inquiry.subject)]
    text = lines[0] if len(lines) == 1 else "\n".join(f"- {line}" for line in lines)
    return text + str(sources)


def _about_line(inquiry: Inquiry, name: str, sources: Sources) -> str:
    package = _package(inquiry, name)
    if package is None:
        return _unknown(inquiry, name)
    return f"{package.name} {package.version}".strip() + f": {_description(inquiry, package, sources)}"


def _unknown(inquiry: Inquiry, name: str) -> str:
    if _is_missing(inquiry, name):
        return f"No installed package is called {name}."
    if inquiry.result("about", name) is None:
        return f"{name}: it was not looked up, for I may not call `about`."
    return f"{name}: it could not be looked up: `about` gave no list, it said {said(inquiry, 'about', name)}."


def _description(inquiry: Inquiry, package: Package, sources: Sources) -> str:
    text, told = _introduced(inquiry, package.name, package.url, sources)
    return text if told or not package.summary else f"{text}; its summary is {quoted(package.summary)}"


def _names_no_package(inquiry: Inquiry) -> bool:
    """Whether `about` had its chance and knew none of the words."""
    asked = names(inquiry.subject)
    if "about" in inquiry.offered and any(inquiry.result("about", name) is None for name in asked):
        return False
    return not any(_package(inquiry, name) for name in asked)


# ---- what a package needs --------------------------------------------------------------------------


def _requirements(inquiry: Inquiry, name: str) -> list[Requirement] | None:
    return rows(inquiry, "requirements", name, _REQUIREMENTS)


def _requirements_calls(inquiry: Inquiry) -> Sequence[Call]:
    asked = names(inquiry.subject)
    calls = [Call(tool, name) for name in asked for tool in ("requirements", "about")]
    if _asks_for_each(inquiry):
        needed = [row.name for name in asked for row in _requirements(inquiry, name) or () if not row.extra]
        calls += _looked_up(inquiry, needed)
    return calls


def _asks_for_each(inquiry: Inquiry) -> bool:
    behind = inquiry.question.partition(inquiry.subject)[2]
    return EACH_OF_THEM.search(behind) is not None


def _requirements_answer(inquiry: Inquiry) -> str:
    sources = Sources()
    parts = [_requirements_of(inquiry, name, sources) for name in names(inquiry.subject)]
    return "\n\n".join(parts) + str(sources)


def _requirements_of(inquiry: Inquiry, name: str, sources: Sources) -> str:
    found = _requirements(inquiry, name)
    if found is None:
        if inquiry.result("requirements", name) is None:
            return f"I cannot tell what {name} needs: I may not call `requirements`."
        words = said(inquiry, "requirements", name)
        return f"I cannot tell what {name} needs: `requirements` gave no list, it said {words}."
    package = _package(inquiry, name)
    if not found and package is None:
        if _is_missing(inquiry, name):
            return _unknown(inquiry, name)
        return f"`requirements` has nothing that {name} needs; whether it is installed I cannot tell."
    head = f"{package.name} {package.version}".strip() if package else name
    needed = [row for row in found if not row.extra]
    text = _counted(head, len(needed), only_extras=len(needed) < len(found))
    text += "".join(f"\n- {_requirement_line(inquiry, row, sources)}" for row in needed)
    if extras := _by_extra(found):
        text += "\n\nOptional, only with an extra:\n"
        text += "".join(f"\n- {extra}: {_short(needing)}" for extra, needing in extras.items())
    return text + "".join(f"\n\n`requirements` adds: {quoted(row.note)}" for row in found if row.note)


def _counted(head: str, count: int, *, only_extras: bool) -> str:
    match count:
        case 0:
            return f"{head} needs no other package" + (" without an extra." if only_extras else ".")
        case 1:
            return f"{head} needs one other package:\n"
        case _:
            return f"{head} needs {count} other packages:\n"


def _requirement_line(inquiry: Inquiry, row: Requirement, sources: Sources) -> str:
    line = f"{row.name} {row.specifier or ''}".strip()
    if row.condition:
        line += f" (given {row.condition})"
    if not _asks_for_each(inquiry):
        return line
    package = _package(inquiry, row.name)
    if package is None:
        return f"{line}. {_unknown(inquiry, row.name)}"
    return f"{line}: {_description(inquiry, package, sources)}"


def _by_extra(found: Sequence[Requirement]) -> dict[str, list[str]]:
    """The names that each extra takes, each once."""
    extras: dict[str, list[str]] = {}
    for row in found:
        if row.extra and row.name not in extras.setdefault(row.extra, []):
            extras[row.extra].append(row.name)
    return dict(sorted(extras.items()))


def _short(needed: Sequence[str]) -> str:
    more = len(needed) - NAMED
    return ", ".join(needed[:NAMED]) + (f" and {more} more" if more > 0 else "")


# ---- the rules -------------------------------------------------------------------------------------

PACKAGE_RULES = (
    Rule(
        patterns=WHO_NEEDS,
        needs="dependents",
        lacking="which installed packages need {subject}",
        calls=_dependents_calls,
        render=_dependents_answer,
    ),
    Rule(
        patterns=WHAT_IT_NEEDS,
        needs="requirements",
        lacking="what {subject} needs",
        calls=_requirements_calls,
        render=_requirements_answer,
    ),
    Rule(
        patterns=WHETHER_IT_NEEDS,
        needs="requirements",
        lacking="what {subject} needs",
        calls=_requirements_calls,
        render=_requirements_answer,
        gives_way=_names_no_package,
    ),
    Rule(
        patterns=IS_IT_HERE,
        needs="about",
        lacking="whether {subject} is installed",
        calls=_about_calls,
        render=_about_answer,
    ),
    Rule(
        patterns=WHAT_IT_IS,
        needs="about",
        lacking="what {subject} is",
        calls=_about_calls,
        render=_about_answer,
        gives_way=_names_no_package,
    ),
)
