-- What the host that carried the operation out was called, for it may be gone by now.
ALTER TABLE fantascope_operations ADD COLUMN host_name text;
