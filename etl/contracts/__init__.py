"""What a source's record must be: field types and contracts. Pure; needs no database."""
