"""The ledger file: schema, chain, writer, reader."""
