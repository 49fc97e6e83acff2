"""docs/FAULTS.md: every row names tests, and they exist."""

import ast
import re

import pytest

from tests.pages import ROOT, codes, rows

FAULTS = rows("docs/FAULTS.md", "fault")


def existing() -> set[str]:
    """The names of all test functions and classes."""
    nodes = (node for path in ROOT.glob("tests/*/*_test.py") for node in ast.walk(ast.parse(path.read_text())))
    return {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


@pytest.mark.parametrize("row", FAULTS, ids=[row[0] for row in FAULTS])
def test_a_fault_is_proven_by_tests_that_exist(row: list[str]) -> None:
    proofs = codes(row[3])
    assert proofs
    assert all(re.match("test_|Test", name) for name in proofs)
    assert set(proofs) - existing() == set()
