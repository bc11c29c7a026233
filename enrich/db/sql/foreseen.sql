-- What earlier plans of the same command would send is in flight for the later ones; it is in $files.
INSERT INTO temp._enrich_in_flight (fingerprint, model)
SELECT fingerprint, model FROM read_parquet($files)
