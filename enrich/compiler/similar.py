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

from enrich.compiler.inputs import render_fingerprint
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
    """How many bands, and of how many bits each, find the pairs among so many rows. `at` is the
    similarity that counts, seen from the middle of all vectors."""

    bands: int
    bits: int
    at: float

    @classmethod
    def choose(cls, rows: int, at: float, middle: Sequence[float]) -> Bands:
        """Returns what finds pairs of the cosine similarity `at`; the vectors have the length 1,
        and `middle` is their average."""
        # Most embeddings have a direction in common. What all share, tells none apart: seen from
        # the middle, similar vectors are at a larger angle.
        common = min(0.999, sum(number * number for number in middle))
        seen = max(0.0, (min(1.0, at) - common) / (1 - common))
        # Two vectors are on the same side of a random plane with this likelihood.
        agree = 1 - acos(seen) / pi
        if agree >= 1:
            return cls(bands=1, bits=_count_bits(rows), at=seen)
        most = int(log(1 - MISSED_SHARE ** (1 / MOST_BANDS)) / log(agree))
        bits = max(1, min(_count_bits(rows), most))
        bands = ceil(log(MISSED_SHARE) / log(1 - agree**bits))
        return cls(bands=min(MOST_BANDS, max(1, bands)), bits=bits, at=seen)


def _count_bits(rows: int) -> int:
    """Returns how many bits leave a few rows with the same ones."""
    return min(24, max(1, ceil(log2(max(2, rows) / ROWS_OF_BLOCK))))


def render_vectors(length: int) -> str:
    """Create `temp._enrich_vectors` from the snapshot: each row that may share an answer, with its
    vector scaled to the length 1 and its rank; `first` is the lowest rank with the same vector.

    Rows that are `fixed` lead and never follow: any of their requests, of which $digests are the
    constants, has an answer that was read after the $since-th batch or is in flight, or they keep
    an earlier answer (`kept`). If the version is $repeated, those that share such an answer of
    another row follow all the same: their own may be older, from before a full refresh. Rows whose
    request has failed lead last. `was` is the request that a row stood for before, and `copied`
    whether that was another row's.
    """
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_vectors AS
WITH asking AS (
    SELECT snapshot.rowid AS line, snapshot.fingerprint AS fingerprint, tail,
        strlen(tail) + strlen(custom_id) AS bytes, snapshot.prompt IS NOT NULL AS kept,
        known.fingerprint AS was, known.copied_from IS NOT NULL AS copied,
        vector AS numbers, sqrt(list_inner_product(vector, vector)) AS size
    FROM temp._enrich_snapshot AS snapshot LEFT JOIN temp._enrich_known AS known USING (key)
    WHERE snapshot.fingerprint IS NOT NULL AND reuse IS NULL
        AND len(vector) = {length} AND list_count(vector) = {length}
), {render_settled("asking")}, shared AS (
    SELECT was FROM asking WHERE NOT copied AND (kept OR line IN (SELECT line FROM settled))
), judged AS (
    SELECT * EXCLUDE (numbers, tail),
        CAST(CASE WHEN abs(size - 1) < 0.001 THEN numbers
            ELSE list_transform(numbers, lambda number: number / size) END AS FLOAT[{length}])
            AS vector,
        kept OR (line IN (SELECT line FROM settled)
            AND NOT ($repeated AND copied AND was IN (FROM shared))) AS fixed,
        fingerprint IN (
            SELECT fingerprint FROM ledger.responses WHERE outcome NOT IN ('ok', 'expired')
        ) AS failed
    FROM asking WHERE size > 0 AND isfinite(size)
), ranked AS (
    SELECT *, row_number() OVER (ORDER BY fixed DESC, failed, line) AS rank FROM judged
)
SELECT *, min(rank) OVER (PARTITION BY vector) AS first FROM ranked"""


def render_settled(asking: str) -> str:
    """The WITH query `settled`: those lines of `asking` (line, fingerprint, tail) one of whose
    requests has an answer or is in flight; see `render_vectors`."""
    return f"""settled AS (
    SELECT DISTINCT line FROM (
        SELECT line, fingerprint FROM {asking}
        UNION ALL
        SELECT line, {render_fingerprint("digest")} FROM {asking}, (
            SELECT unnest($digests::VARCHAR[]) AS digest
        )
    ) WHERE fingerprint IN (
        SELECT fingerprint FROM ledger.responses
        WHERE outcome = 'ok' AND batch IN (
            SELECT batch FROM ledger.batches WHERE coalesce(read_number, 1) > $since
        )
        UNION
        SELECT fingerprint FROM temp._enrich_in_flight
    )
)"""


def render_middle(length: int) -> str:
    """The averages of the numbers of some vectors, in order."""
    return f"""SELECT list(average ORDER BY place) FROM (
    SELECT place, avg(number) AS average FROM (
        SELECT unnest(CAST(vector AS FLOAT[])) AS number, unnest(range(1, {length} + 1)) AS place
        FROM temp._enrich_vectors WHERE rank % greatest(1, $rows // 10000) = 0
    ) GROUP BY place
)"""


COMPARED = "SELECT rank, vector FROM temp._enrich_vectors WHERE rank = first OR fixed OR copied"
"""The rows that are compared: of equal vectors, one, but those that shared an answer before."""


def render_near(candidates: str) -> str:
    """Create `temp._enrich_near`: each pair of `candidates` (one, other), ranks with the lower one
    first, whose similarity is at least $at; and those that shared an answer before, which are
    `known`. A row that keeps an earlier answer leads nobody else."""
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_near AS
WITH found AS (
{candidates}
), known AS (
    SELECT min(lead.rank) AS one, own.rank AS other
    FROM temp._enrich_vectors AS own JOIN temp._enrich_vectors AS lead USING (was)
    WHERE own.copied AND NOT lead.copied AND lead.rank < own.rank AND NOT own.fixed
    GROUP BY own.rank
), candidates AS (
    SELECT one, other, true AS known FROM known
    UNION ALL
    SELECT one, other, false FROM found ANTI JOIN known USING (one, other)
)
SELECT candidates.one, candidates.other, known,
    array_cosine_similarity(one.vector, other.vector) AS similarity
FROM candidates JOIN temp._enrich_vectors AS one ON one.rank = candidates.one
    JOIN temp._enrich_vectors AS other ON other.rank = candidates.other
WHERE similarity >= $at AND (known OR NOT (one.kept OR other.kept))"""


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


def render_banded_pairs(bands: Bands) -> str:
    """A SELECT of the pairs that have all bits of a band in common, and may be so similar."""
    # Nearly all that have a band in common only happen to. The sketches tell, which are far smaller
    # than the vectors: similar ones differ in few bits, others in half of them.
    other = acos(bands.at) / pi
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
WHERE rank = first OR fixed OR copied"""


def render_followers() -> str:
    """Let rows that are similar to a known leader follow one."""
    return """UPDATE temp._enrich_groups AS groups SET leader = found.leader FROM (
    SELECT other AS rank, min(one) AS leader
    FROM temp._enrich_near JOIN temp._enrich_groups AS leaders ON one = leaders.rank
    WHERE leaders.leader = one GROUP BY other
) AS found WHERE groups.rank = found.rank AND groups.leader IS NULL"""


def render_leaders() -> str:
    """Let rows lead that no undecided row of a lower rank is similar to."""
    return """UPDATE temp._enrich_groups SET leader = rank WHERE leader IS NULL AND rank NOT IN (
    SELECT other FROM temp._enrich_near JOIN temp._enrich_groups AS lower ON one = lower.rank
    WHERE lower.leader IS NULL
)"""


def render_best_leaders() -> str:
    """Now that all leaders are known, let each follower follow the one that it followed before, or
    else the one that is most similar to it."""
    return """UPDATE temp._enrich_groups AS groups SET leader = found.leader FROM (
    SELECT near.rank, arg_max(near.leader, (known, similarity, -near.leader)) AS leader FROM (
        SELECT other AS rank, one AS leader, known, similarity FROM temp._enrich_near
        UNION ALL
        SELECT one, other, false, similarity FROM temp._enrich_near
    ) AS near JOIN temp._enrich_groups AS leaders ON leaders.rank = near.leader
    WHERE leaders.leader = leaders.rank GROUP BY near.rank
) AS found WHERE groups.rank = found.rank AND groups.leader <> groups.rank"""


def render_copies(key: Mapping[str, str]) -> str:
    """Let each follower in the snapshot stand for its leader's request, and name that."""
    return f"""UPDATE temp._enrich_snapshot AS snapshot
SET fingerprint = lead.fingerprint, custom_id = lead.custom_id, tail = lead.tail,
    prompt = lead.prompt, reuse = 'copied',
    copied_from = {render_key_text("lead", key)}
FROM temp._enrich_vectors AS own
    JOIN temp._enrich_groups AS groups ON groups.rank = coalesce(
        (SELECT same.rank FROM temp._enrich_groups AS same WHERE same.rank = own.rank), own.first)
    JOIN temp._enrich_vectors AS leader ON leader.rank = groups.leader
    JOIN temp._enrich_snapshot AS lead ON lead.rowid = leader.line
WHERE snapshot.rowid = own.line AND NOT own.fixed AND leader.rank <> own.rank"""


def render_kept_copies() -> str:
    """Let rows of the snapshot go on copying rows of partitions that are not worked on, if their
    own cells are those that one of the $versions asked about, of which the first is the present
    one, and the other row has an answer that was read after the $since-th batch."""
    return """UPDATE temp._enrich_snapshot AS snapshot
SET fingerprint = known.fingerprint, reuse = 'copied', copied_from = known.copied_from,
    prompt = nullif(known.version, $versions[1])
FROM temp._enrich_known AS known
WHERE known.key = snapshot.key AND known.copied_from IS NOT NULL
    AND list_contains($versions, known.version) AND known.mark = snapshot.mark
    AND known.fingerprint NOT IN (
        SELECT fingerprint FROM temp._enrich_snapshot WHERE fingerprint IS NOT NULL
    )
    AND known.fingerprint IN (
        SELECT fingerprint FROM ledger.responses
        WHERE outcome = 'ok' AND batch IN (
            SELECT batch FROM ledger.batches WHERE coalesce(read_number, 1) > $since
        )
    )"""


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
