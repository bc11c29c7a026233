-- The requests of temp._enrich_todo that $model would send: those from each of $starts, as many as in $paid.
COPY (
    SELECT fingerprint, $model AS model FROM temp._enrich_todo JOIN (
        SELECT unnest($starts::BIGINT[]) AS start, unnest($paid::BIGINT[]) AS many
    ) ON n >= start AND n < start + many
) TO $file (FORMAT parquet)
