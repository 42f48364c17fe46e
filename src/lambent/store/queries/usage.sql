-- name: of_functions
SELECT count(*) FILTER (WHERE number = 0), coalesce(sum(json_extract(CAST(record AS TEXT), '$.package.size')), 0)
FROM function_version WHERE account = :account AND region = :region;

-- name: of_layers
SELECT coalesce(sum(json_extract(CAST(record AS TEXT), '$.package.size')), 0)
FROM layer_version WHERE account = :account AND region = :region;
