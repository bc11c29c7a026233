-- The earlier versions that asked the rows whose request differs now from that in version $version.
SELECT DISTINCT known.version
FROM temp._enrich_snapshot AS snapshot JOIN temp._enrich_known AS known USING (key)
WHERE snapshot.fingerprint <> known.fingerprint AND known.version <> $version
ORDER BY known.version
