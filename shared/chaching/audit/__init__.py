"""Evidence of tampering: the log's hashes, its Merkle tree, signed checkpoints, and their checks.

The format is told in ``docs/audit-format.md``; what is hashed, signed or written to a file here
can be checked by whoever has that document and the public key.
"""
