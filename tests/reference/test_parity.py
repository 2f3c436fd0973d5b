"""The measures of parity, on numbers that can be checked by hand."""

import math

import pytest
import torch

from gemtab.parity.greedy import GreedyMatch, compare_greedy
from gemtab.parity.logits import compare
from gemtab.parity.tolerances import Tolerance


def test_logit_error() -> None:
    reference = torch.tensor([[math.log(3.0), 0.0], [0.0, 1.0]])
    other = torch.tensor([[0.0, math.log(3.0)], [0.0, 1.0]])
    error = compare(reference, other)
    assert error.positions == 2
    assert error.max == pytest.approx(math.log(3.0))
    assert error.rms == pytest.approx(math.log(3.0) / math.sqrt(2))
    assert error.kl == pytest.approx((0.75 * math.log(3) - 0.25 * math.log(3)) / 2)
    assert error.top1 == 0.5


def test_beyond_names_what_is_too_large_and_does_not_let_nan_pass() -> None:
    tolerance = Tolerance(max=1.0, rms=1.0, kl=1.0, top1=0.9, tie=0.1)
    good = compare(torch.zeros(4, 3), torch.zeros(4, 3))
    assert good.beyond(tolerance) == []
    worse = compare(torch.tensor([[0.0, 1.0]]), torch.tensor([[3.0, 1.0]]))
    assert [phrase.split()[0] for phrase in worse.beyond(tolerance)] == ["maximum", "RMS", "KL", "top-1"]
    broken = compare(torch.zeros(1, 2), torch.full((1, 2), float("nan")))
    assert len(broken.beyond(tolerance)) >= 3


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"expected logits \[2, 3\], found \[1, 3\]"):
        compare(torch.zeros(2, 3), torch.zeros(1, 3))


CLEAR, TIE = [0.0, 9.0, 0.0], [1.0, 1.05, 0.0]


def test_a_tie_is_counted() -> None:
    match = compare_greedy(torch.tensor([CLEAR, TIE, CLEAR]), [1, 0, 1], margin=0.1)
    assert match == GreedyMatch(steps=3, equal=2, ties=1)
    assert not match.holds, "one tie in three steps is more than 1 %"
    assert GreedyMatch(steps=100, equal=99, ties=1).holds


def test_a_difference_beyond_the_margin_is_no_tie() -> None:
    match = compare_greedy(torch.tensor([TIE, CLEAR]), [1, 0], margin=0.1)
    assert match == GreedyMatch(steps=2, equal=1, ties=0, first_difference=1)
    assert not match.holds
