"""Worked examples of docs/extend.md; the tests run them."""
