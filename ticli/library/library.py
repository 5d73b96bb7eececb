"""The library of concepts: rows and files together, every change whole or not made at all."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from ticli.concept import FACTS, Concept, Embedding
from ticli.errors import BadContent, Conflict, NotFound, TiError, Usage
from ticli.library import record, store
from ticli.library.database import changing, explained, open_to_read
from ticli.library.query import (
    ListedConcept,
    Query,
    check_query,
    query_concepts,
    query_documents,
    query_entries,
    query_names,
)
from ticli.library.record import check_vectors, norms_of, same_vectors
from ticli.names import Token, did_you_mean, lookup_name, nearest, parse_token
from ticli.paths import Places, places

# What may differ between two additions of the same concept.
INCIDENTAL = [key for key, it in FACTS.items() if it.varies or it.source in ("row", "place")]

Pair = tuple[Concept, Embedding]


def described(concept: Concept, embedding: Embedding) -> Concept:
    """The concept with its name, widths and norms filled in. Raises BadContent and Usage."""
    token = parse_token(concept.token)
    check_vectors(embedding, token.text)
    return replace(
        concept,
        name=token.name,
        token=token.text,
        vectors=embedding.vectors,
        widths=embedding.widths,
        norms=norms_of(embedding),
        created=concept.created or now(),
    )


def find_taken(
    connection: sqlite3.Connection, blobs: Path, wanted: Sequence[Pair], replacing: bool
) -> list[Concept | None]:
    """What has the name of each concept now. Raises Conflict if that is another concept."""
    names = [concept.name for concept, _ in wanted]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise Conflict(f"{twice[0]!r} is given twice", "give each concept a name of its own")
    taken = [record.select_one(connection, name, blobs) for name in names]
    for old, (concept, embedding) in zip(taken, wanted, strict=True):
        if old is not None and not replacing and not _is_same(old, concept, embedding):
            raise Conflict(
                f"{old.name!r} is in the library already",
                "give --replace, or another --token",
                name=old.name,
            )
    return taken


def now() -> str:
    """This moment in ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _is_same(old: Concept, wanted: Concept, embedding: Embedding) -> bool:
    """Whether the same concept is there already, with its file whole."""
    if replace(wanted, **{key: getattr(old, key) for key in INCIDENTAL}) != old:
        return False
    try:
        return same_vectors(store.load_blob(old), embedding)
    except BadContent:
        return False


__all__ = ["Library", "Query"]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Library:
    """One library. Every call opens the database, does one thing and closes it again."""

    places: Places

    @classmethod
    def open(cls, *, write: bool = False) -> Self:
        """Open the user's library. With `write`, make it if needed and prove it writable.

        Without `write`, a missing library counts as empty and nothing is created. Raises BadContent
        (damaged, foreign, lost), Conflict (made by a newer `ti`) and TiError.
        """
        library = cls(places())
        if write:
            with changing(library.places):
                pass
        return library

    def names(self) -> list[str]:
        """Every name, in alphabetical order."""
        return self._read(record.select_names, [])

    def find(self, name: str) -> Concept | None:
        """The concept that `mug`, `Mug` or `<mug>` means, or None."""
        key = lookup_name(name)
        return self._read(lambda link: record.select_one(link, key, self.places.blobs), None)

    def find_all(self, names: Iterable[str]) -> dict[str, Concept]:
        """The concepts that have these names, by the name given; unknown names are left out."""
        blobs = self.places.blobs

        def look(link: sqlite3.Connection) -> dict[str, Concept]:
            found = {n: record.select_one(link, lookup_name(n), blobs) for n in names}
            return {name: concept for name, concept in found.items() if concept is not None}

        return self._read(look, {})

    def get(self, name: str) -> Concept:
        """The concept that `mug`, `Mug` or `<mug>` means. Raises NotFound with near names."""
        concept = self.find(name)
        if concept is None:
            raise self._unknown([name])
        return concept

    def get_all(self, names: Sequence[str]) -> list[Concept]:
        """The concepts of these names. Raises NotFound naming all that do not exist."""
        found = self.find_all(names)
        if missing := [name for name in names if name not in found]:
            raise self._unknown(missing)
        return [found[name] for name in names]

    def concepts(self, query: Query = Query()) -> list[Concept]:  # noqa: B008  # frozen
        """The concepts a query asks for, all by default. Raises Usage and BadContent."""
        return self._ask(query_concepts, query)

    def entries(self, query: Query) -> list[ListedConcept]:
        """What a list shows of the concepts a query asks for. Raises Usage and BadContent."""
        return self._ask(query_entries, query)

    def documents(self, query: Query) -> list[str]:
        """The JSON objects of the concepts a query asks for, as text. Raises as entries does."""
        return self._ask(query_documents, query)

    def matching_names(self, query: Query) -> list[str]:
        """The names of the concepts a query asks for. Raises Usage."""
        return self._ask(query_names, query)

    def search(self, text: str) -> list[Concept]:
        """The concepts that have every word of `text`, best match first."""
        return self.concepts(Query(words=text))

    def embedding(self, concept: Concept) -> Embedding:
        """The vectors of a concept of this library. Raises BadContent if its file is broken."""
        return store.load_blob(concept)

    def add(self, concept: Concept, embedding: Embedding, *, replace: bool = False) -> Concept:
        """Store a new concept and fill in its path, bytes, sha256 and, if empty, created.

        Adding the same concept twice stores it once. If another concept has the name, `replace`
        removes it; without `replace` that is a Conflict. Raises NoSpace and TiError too.
        """
        return self.add_all([(concept, embedding)], replace=replace)[0]

    def add_all(self, pairs: Sequence[Pair], *, replace: bool = False) -> list[Concept]:
        """Store new concepts as `add` does: all of them or none."""
        wanted = [(described(concept, embedding), embedding) for concept, embedding in pairs]
        saved: list[Concept] = []
        added: list[Concept] = []
        try:
            with changing(self.places) as connection:
                taken = find_taken(connection, self.places.blobs, wanted, replace)
                for old, (concept, embedding) in zip(taken, wanted, strict=True):
                    if old is not None and not replace:
                        added.append(old)
                        continue
                    saved.append(store.save_blob(self.places.blobs, concept, embedding))
                    added.append(saved[-1])
                gone = [old for old in taken if old is not None and replace]
                for old in gone:
                    record.delete(connection, old.name)
                for concept in saved:
                    record.insert(connection, concept)
        except TiError:
            if saved:
                # A file that cannot be removed now is left to `ti prune`.
                with contextlib.suppress(TiError):
                    self._drop_files(saved)
            raise
        if gone:
            self._drop_files(gone)
        return added

    def remove(self, names: str | Iterable[str]) -> list[Concept]:
        """Remove concepts, all or none, and return them. Raises NotFound."""
        wanted = [names] if isinstance(names, str) else names
        keys = list(dict.fromkeys(map(lookup_name, wanted)))
        if not self.matching_names(Query(limit=1)):
            raise self._unknown(keys)
        with changing(self.places) as connection:
            doomed = self._all_of(connection, keys)
            for concept in doomed:
                record.delete(connection, concept.name)
        self._drop_files(doomed)
        return doomed

    def rename(self, old: str, token: Token) -> Concept:
        """Give a concept another name and token at once. Raises NotFound and Conflict."""
        before = self.get(old)
        with changing(self.places) as connection:
            before = self._all_of(connection, [before.name])[0]
            holder = record.select_one(connection, token.name, self.places.blobs)
            if holder is not None and holder.name != before.name:
                raise Conflict(
                    f"{token.name!r} is in the library already",
                    f"choose another name, or `ti rm {token.name}` first",
                    name=token.name,
                )
            embedding = store.load_blob(before)
            renamed = replace(before, name=token.name, token=token.text)
            renamed = store.save_blob(self.places.blobs, renamed, embedding)
            record.update(connection, before.name, renamed)
        self._drop_files([before])
        return renamed

    def tag(
        self,
        name: str,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        notes: str | None = None,
    ) -> Concept:
        """Change the tags and, unless None, the notes. Raises NotFound."""
        before = self.get(name)
        if not add and not remove and notes is None:
            return before
        with changing(self.places) as connection:
            before = self._all_of(connection, [before.name])[0]
            for tag in add:
                if not tag.strip().isprintable() or not tag.strip():
                    raise Usage(f"{tag!r} cannot be a tag", "use a word, such as kitchen")
            kept = [tag for tag in before.tags if tag not in remove]
            tags = tuple(dict.fromkeys([*kept, *map(str.strip, add)]))
            after = replace(before, tags=tags, notes=before.notes if notes is None else notes)
            record.update(connection, before.name, after)
        return after

    def keep_photos(self, photos: Iterable[tuple[str, Path]]) -> list[Path]:
        """Copy photos, given as (sha256, path), into the library; return those gone or changed.

        A copy stays as long as any concept that was learned from it. Raises NoSpace.
        """
        return [path for sha256, path in photos if not store.keep_photo(self._photos, sha256, path)]

    def kept_photos(self, concept: Concept) -> list[Path]:
        """The copies of a concept's photos that the library kept, in the concept's order."""
        return store.find_photos(self._photos, [photo.sha256 for photo in concept.photos])

    def keep_scores(self, scored: Concept, reports: Sequence[Mapping[str, Any]]) -> bool:
        """Add reports to a concept's row; each replaces the old report of its protocol.

        Returns False and stores nothing if the concept has been removed or replaced since.
        """
        with changing(self.places) as connection:
            now = record.select_one(connection, scored.name, self.places.blobs)
            if now is None or now.sha256 != scored.sha256:
                return False
            kept = {report["protocol"]["id"]: report for report in (*now.scores, *reports)}
            record.update(connection, now.name, replace(now, scores=tuple(kept.values())))
        return True

    def touch(self, names: Iterable[str]) -> bool:
        """Record that concepts are used now; False if the library is read-only."""
        keys = [lookup_name(name) for name in names]
        if not keys:
            return True
        try:
            with changing(self.places) as connection:
                record.mark_used(connection, keys, now())
        except TiError as error:
            if error.details.get("read_only"):
                return False
            raise
        return True

    @property
    def _photos(self) -> Path:
        return self.places.home / "photos"

    def _ask(
        self, read: Callable[[sqlite3.Connection, Query, Path], list[Answer]], query: Query
    ) -> list[Answer]:
        # Refuse a wrong query even if the library is empty.
        check_query(query)
        return self._read(lambda link: read(link, query, self.places.blobs), [])

    def _read(self, look: Callable[[sqlite3.Connection], Answer], nothing: Answer) -> Answer:
        connection = open_to_read(self.places.database, self.places.blobs)
        if connection is None:
            return nothing
        with contextlib.closing(connection), explained(self.places.database):
            return look(connection)

    def _all_of(self, connection: sqlite3.Connection, names: Sequence[str]) -> list[Concept]:
        found = {name: record.select_one(connection, name, self.places.blobs) for name in names}
        if missing := [name for name, concept in found.items() if concept is None]:
            raise self._unknown(missing, record.select_names(connection))
        return [concept for concept in found.values() if concept is not None]

    def _unknown(self, missing: Sequence[str], known: Sequence[str] | None = None) -> NotFound:
        names = self.names() if known is None else known
        wanted = [lookup_name(name) for name in missing]
        return NotFound(
            f"no concept named {', '.join(map(repr, missing))}",
            did_you_mean(wanted, names, "ti list shows all"),
            names=list(missing),
            nearest=nearest(wanted, names),
        )

    def _drop_files(self, concepts: Iterable[Concept]) -> None:
        """Remove the files and photos that no row needs any more."""
        gone = list(concepts)
        with changing(self.places) as connection:
            hashes = {concept.sha256 for concept in gone}
            store.drop_blobs(
                self.places.blobs,
                [key for key in hashes if not record.is_referenced(connection, key)],
            )
            if not self._photos.is_dir():
                return
            photos = {photo.sha256 for concept in gone for photo in concept.photos}
            store.drop_photos(self._photos, photos - record.used_photos(connection, photos))
