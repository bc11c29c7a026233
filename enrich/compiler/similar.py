"""Near-duplicates as SQL: rows with similar vectors are found without comparing all pairs.

Each vector gets a few bits for every band: on which side of a plane through the middle of all
vectors it is. Similar vectors agree in all bits of at least one band (locality-sensitive hashing by
random planes: M. Charikar, STOC 2002), and only rows that do are compared. Each plane depends on
two numbers of a vector, as sparse projections do (D. Achlioptas, JCSS 66, 2003).

Of each group of near-duplicates, one row is the leader, and every other one is similar to it, not
only to another follower. Rows that have an answer lead; among the others, the first one.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from math import acos, ceil, log, log2, pi, sqrt
from typing import TYPE_CHECKING

from enrich.db.quote import quote_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VECTOR_TYPE = re.compile(r"(?:FLOAT|DOUBLE)\[(\d+)\]")
"""DuckDB's name for the type of a vector, with its length."""
FEW_ROWS = 2_000
"""Up to so many rows, all pairs are compared."""
ROWS_OF_BLOCK = 8
"""The average number of rows with the same bits in a band."""
MOST_OF_BLOCK = 256
"""How many rows with the same bits are compared with each other: thousands of rows that are nearly
the same would be millions of pairs."""
MISSED_SHARE = 0.001
"""The share of pairs, just similar enough, that may have no band in common."""
MOST_BANDS = 64
SKETCH_BITS = 62
"""As many as a BIGINT holds."""


@dataclass(frozen=True, kw_only=True)
class Bands:
    """How many bands, and of how many bits each, find the pairs among so many rows."""

    bands: int
    bits: int

    @classmethod
    def choose(cls, rows: int, at: float) -> Bands:
        """Returns what finds pairs of the cosine similarity `at`."""
        bits = min(24, max(1, ceil(log2(max(2, rows) / ROWS_OF_BLOCK))))
        # Two vectors at an angle are on the same side of a random plane with this likelihood.
        agree = (1 - acos(min(1.0, at)) / pi) ** bits
        bands = ceil(log(MISSED_SHARE) / log(1 - agree)) if agree < 1 else 1
        return cls(bands=min(MOST_BANDS, max(1, bands)), bits=bits)


def render_vectors(length: int) -> str:
    """Create `temp._enrich_vectors` from the snapshot: each row that may share an answer, with its
    rank; `first` is the lowest rank with the same vector. Rows that are `fixed` have an answer that
    was read after the $since-th batch, or are in flight: they lead and never follow."""
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_vectors AS
WITH asking AS (
    SELECT rowid AS line, fingerprint, strlen(tail) + strlen(custom_id) AS bytes,
        CAST(vector AS FLOAT[{length}]) AS vector
    FROM temp._enrich_snapshot
    WHERE fingerprint IS NOT NULL AND prompt IS NULL AND reuse IS NULL
        AND len(vector) = {length} AND list_count(vector) = {length}
), fixed AS (
    SELECT fingerprint FROM ledger.responses
    WHERE outcome = 'ok' AND batch IN (
        SELECT batch FROM ledger.batches WHERE coalesce(read_number, 1) > $since
    )
    UNION
    SELECT fingerprint FROM ledger.requests
    WHERE batch IN (SELECT batch FROM ledger.batches WHERE read_at IS NULL AND held IS NULL)
), judged AS (
    SELECT *, fingerprint IN (SELECT fingerprint FROM fixed) AS fixed FROM asking
), ranked AS (
    SELECT *, row_number() OVER (ORDER BY fixed DESC, line) AS rank FROM judged
)
SELECT *, min(rank) OVER (PARTITION BY vector) AS first FROM ranked"""


def render_middle(length: int) -> str:
    """The averages of the numbers of some vectors, in order."""
    return f"""SELECT list(average ORDER BY place) FROM (
    SELECT place, avg(number) AS average FROM (
        SELECT unnest(CAST(vector AS FLOAT[])) AS number, unnest(range(1, {length} + 1)) AS place
        FROM temp._enrich_vectors WHERE rank % greatest(1, $rows // 10000) = 0
    ) GROUP BY place
)"""


COMPARED = "SELECT rank, vector FROM temp._enrich_vectors WHERE rank = first OR fixed"
"""The rows that are compared: of equal vectors, one."""


def render_near(candidates: str) -> str:
    """Create `temp._enrich_near`: each pair of `candidates` (one, other), ranks with the lower one
    first, whose similarity is at least $at."""
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_near AS
WITH candidates AS (
{candidates}
)
SELECT candidates.one, candidates.other,
    array_cosine_similarity(one.vector, other.vector) AS similarity
FROM candidates JOIN temp._enrich_vectors AS one ON one.rank = candidates.one
    JOIN temp._enrich_vectors AS other ON other.rank = candidates.other
WHERE similarity >= $at"""


def render_all_pairs() -> str:
    """A SELECT of all pairs."""
    return f"""WITH compared AS ({COMPARED})
SELECT one.rank AS one, other.rank AS other
FROM compared AS one JOIN compared AS other ON one.rank < other.rank"""


def render_words(middle: Sequence[float], bands: Bands) -> str:
    """Create `temp._enrich_words`: the bits of each compared row as a list of words, one for each
    band, and a sketch of its vector, SKETCH_BITS other bits."""
    words = (_render_word(middle, bands.bits, seed) for seed in range(bands.bands))
    sketch = _render_word(middle, SKETCH_BITS, bands.bands)
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_words AS
SELECT rank, [{", ".join(words)}] AS words, {sketch} AS sketch FROM ({COMPARED})"""


def render_banded_pairs(at: float) -> str:
    """A SELECT of the pairs that have all bits of a band in common, and may be so similar."""
    # Nearly all that have a band in common only happen to. The sketches tell, which are far smaller
    # than the vectors: similar ones differ in few bits, others in half of them.
    other = acos(min(1.0, at)) / pi
    most = ceil(SKETCH_BITS * other + 5 * sqrt(SKETCH_BITS * other * (1 - other)))
    return f"""WITH placed AS (
    SELECT rank, band, word, sketch,
        row_number() OVER (PARTITION BY band, word ORDER BY next, rank) // {MOST_OF_BLOCK} AS part
    FROM (
        SELECT rank, sketch, unnest(range(len(words))) AS band, unnest(words) AS word,
            unnest(words[2:] || words[:1]) AS next
        FROM temp._enrich_words
    )
)
SELECT DISTINCT one.rank AS one, other.rank AS other
FROM placed AS one JOIN placed AS other USING (band, word, part)
WHERE one.rank < other.rank AND bit_count(xor(one.sketch, other.sketch)) <= {most}"""


def _render_word(middle: Sequence[float], bits: int, seed: int) -> str:
    """SQL for some bits of a vector; each `seed` has other planes."""
    dice = random.Random(seed)  # noqa: S311  # the same planes in every run
    terms = []
    for bit in range(bits):
        one, other = dice.sample(range(len(middle)), 2) if len(middle) > 1 else (0, 0)
        sign, edge = ("+", middle[one] + middle[other]) if dice.random() < 0.5 else ("-", 0.0)
        edge = edge or middle[one] - middle[other]
        side = f"vector[{one + 1}] {sign} vector[{other + 1}] > {edge!r}"
        terms.append(f"(CAST({side} AS BIGINT) << {bit})")
    return " + ".join(terms)


def render_groups() -> str:
    """Create `temp._enrich_groups`: each compared row, and its leader once that is known."""
    return """CREATE OR REPLACE TEMP TABLE _enrich_groups AS
SELECT rank, CASE WHEN fixed THEN rank END AS leader FROM temp._enrich_vectors
WHERE rank = first OR fixed"""


def render_followers() -> str:
    """Let rows that are similar to a known leader follow the most similar one."""
    return """UPDATE temp._enrich_groups AS groups SET leader = found.leader FROM (
    SELECT other AS rank, arg_max(one, (similarity, -one)) AS leader
    FROM temp._enrich_near JOIN temp._enrich_groups AS leaders ON one = leaders.rank
    WHERE leaders.leader = one GROUP BY other
) AS found WHERE groups.rank = found.rank AND groups.leader IS NULL"""


def render_leaders() -> str:
    """Let rows lead that no undecided row of a lower rank is similar to."""
    return """UPDATE temp._enrich_groups SET leader = rank WHERE leader IS NULL AND rank NOT IN (
    SELECT other FROM temp._enrich_near JOIN temp._enrich_groups AS lower ON one = lower.rank
    WHERE lower.leader IS NULL
)"""


def render_copies(key: Mapping[str, str]) -> str:
    """Let each follower in the snapshot stand for its leader's request, and name that."""
    return f"""UPDATE temp._enrich_snapshot AS snapshot
SET fingerprint = lead.fingerprint, tail = lead.tail, reuse = 'copied',
    copied_from = {render_key_text("lead", key)}
FROM temp._enrich_vectors AS own
    JOIN temp._enrich_groups AS groups ON groups.rank = own.first
    JOIN temp._enrich_vectors AS leader ON leader.rank = groups.leader
    JOIN temp._enrich_snapshot AS lead ON lead.rowid = leader.line
WHERE snapshot.rowid = own.line AND NOT own.fixed AND leader.rank <> own.rank"""


def render_key_text(row: str, key: Mapping[str, str]) -> str:
    """SQL for the key of a row as people read it: its value, or all of them."""
    if len(key) == 1:
        return f"CAST({row}.key.{quote_name(next(iter(key)))} AS VARCHAR)"
    return f"CAST({row}.key AS VARCHAR)"


def render_saved() -> str:
    """The number of requests that copies save in this run, and their bytes; $overhead is the bytes
    of a line without its custom_id and tail. What an earlier run has saved is not counted again."""
    return """SELECT count(*), coalesce(sum(bytes), 0) FROM (
    SELECT any_value(own.bytes + $overhead) AS bytes
    FROM temp._enrich_snapshot AS snapshot
        JOIN temp._enrich_vectors AS own ON own.line = snapshot.rowid
        LEFT JOIN temp._enrich_known AS known USING (key)
    WHERE reuse = 'copied' AND own.fingerprint <> snapshot.fingerprint
        AND known.fingerprint IS DISTINCT FROM snapshot.fingerprint
    GROUP BY own.fingerprint
)"""
