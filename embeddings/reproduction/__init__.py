"""Rows of papers' tables: found, run beside a reference implementation, recorded, and rendered."""
