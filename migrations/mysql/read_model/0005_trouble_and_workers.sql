-- What any host knows of a partition, all can show; and what is said to any, reaches who folds it.

-- What keeps the partition from going on, as the host that folds it tells the others: JSON;
-- NULL if nothing does.
ALTER TABLE fantascope_checkpoints ADD COLUMN trouble LONGTEXT;

-- How many partitions the rest of the history is to be folded in; NULL: as many as there are.
ALTER TABLE fantascope_versions ADD COLUMN workers BIGINT;
