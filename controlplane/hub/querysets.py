"""Querysets of the HUB."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db import models
from django.db.models import F

from controlplane.workspaces.querysets import ALGORITHM, within_reach

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from controlplane.accounts.models import User

LANGUAGE = "english"
LONGEST_QUERY = 300
PLAIN_WORDS = re.compile(r"^[\w\s]+$")


class AlgorithmQuerySet(models.QuerySet[Any]):
    """Algorithms, narrowed."""

    def visible_to(self, actor: User) -> AlgorithmQuerySet:
        """Keep the actor's own algorithms, those that a role leads to, and public ones."""
        return self.filter(within_reach(actor, ALGORITHM))

    def matching(self, text: str) -> AlgorithmQuerySet:
        """Keep what a search finds in names, keywords and descriptions, the best first."""
        found: AlgorithmQuerySet = ranked(self, "search", text)
        return found


class AlgorithmPartQuerySet(models.QuerySet[Any]):
    """Packages and demo workflows, narrowed."""

    def visible_to(self, actor: User) -> AlgorithmPartQuerySet:
        """Keep those of algorithms that the actor sees."""
        return self.filter(within_reach(actor, ALGORITHM, at="algorithm__"))


class PackageUseQuerySet(models.QuerySet[Any]):
    """Uses of packages, narrowed."""

    def visible_to(self, actor: User) -> PackageUseQuerySet:
        """Keep those of packages whose algorithm the actor sees."""
        return self.filter(within_reach(actor, ALGORITHM, at="package__algorithm__"))


class PublicQuerySet(models.QuerySet[Any]):
    """What is published: the same for everyone, with or without an account."""

    def visible_to(self, actor: User | AnonymousUser) -> PublicQuerySet:
        """Keep all."""
        return self.all()


class HubAlgorithmQuerySet(PublicQuerySet):
    """Published algorithms, narrowed."""

    def matching(self, text: str) -> HubAlgorithmQuerySet:
        """Keep what a search finds in the newest version, the best first."""
        found: HubAlgorithmQuerySet = ranked(self, "current__search", text)
        return found


def ranked(rows: Any, column: str, text: str) -> Any:
    """Narrow rows by a full text search in a vector column; the best come first, then by name."""
    query = search_query(text)
    return rows.filter(**{column: query}).annotate(rank=SearchRank(F(column), query)).order_by("-rank", "name", "id")


def search_query(text: str) -> Any:
    """Return the query for what a person typed: words (also unfinished ones), "phrases", OR, and -words to leave out."""
    text = text.replace("\x00", " ")[:LONGEST_QUERY]
    query = SearchQuery(text, config=LANGUAGE, search_type="websearch")
    if not PLAIN_WORDS.match(text) or re.search(r"\bor\b", text, re.IGNORECASE):
        return query
    begun = " & ".join(f"{word}:*" for word in text.split() if word.strip("_"))
    return query | SearchQuery(begun, config=LANGUAGE, search_type="raw") if begun else query
