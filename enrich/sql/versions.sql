-- The earlier versions that asked the rows whose request is another now than in version $version.
SELECT DISTINCT known.version
FROM temp.snapshot AS snapshot JOIN temp.known AS known USING (key)
WHERE snapshot.fingerprint <> known.fingerprint AND known.version <> $version
ORDER BY known.version
