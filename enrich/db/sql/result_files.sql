-- Which batch each result file belongs to.
CREATE OR REPLACE TEMP TABLE _enrich_result_files AS
SELECT unnest($files::VARCHAR[]) AS filename, unnest($batches::VARCHAR[]) AS batch
