"""The rules for a source's records: field types and contracts. Pure; needs no database."""
