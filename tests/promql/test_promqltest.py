"""Prometheus's own scripts: every case, in every way it can be asked."""

from functools import cache

import pytest

from tests.promql.promqltest import CHECKS, SCRIPTS, Outcome, run_file

pytestmark = pytest.mark.skipif(not SCRIPTS.is_dir(), reason="../shared/promqltest is not there")

FILES = sorted(path.stem for path in SCRIPTS.glob("*.test"))
CASES = {"plain": 1350, "as range": 1107, "with @": 1104}  # what the three checks are for


@cache
def _outcomes(name: str) -> list[Outcome]:
    return list(run_file(SCRIPTS / f"{name}.test"))


@pytest.mark.parametrize("name", FILES)
def test_scripts_pass(name: str) -> None:
    """Each case as written; instant ones as a range around their instant and pinned down by ``@`` too."""
    outcomes = _outcomes(name)
    wrong = [
        f"{name}.test:{o.case.line}: {check}: {text}"
        for o in outcomes
        for check, text in o.wrong.items()
        if text
    ]

    assert outcomes
    assert not wrong, "\n".join(wrong)


def test_no_case_is_left_out() -> None:
    """The files hold as many cases as their README says, and few are spared."""
    outcomes = [o for name in FILES for o in _outcomes(name)]

    assert {check: sum(check in o.wrong for o in outcomes) for check in CHECKS} == CASES
