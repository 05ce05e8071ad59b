"""Relational losses: what they are blind to, what they see, and that they equal their formulas written as loops."""

from __future__ import annotations

import math

import pytest
import torch

from showroom_ros.errors import InputError
from showroom_ros.training.relational_losses import cosine, rkd_angle, rkd_distance

LOSSES = [rkd_distance, rkd_angle, cosine]


def embeddings(n=5, d=6, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(d=6):
    return torch.linalg.qr(embeddings(d, d, 9)).Q


def smooth_l1(a, b):
    return 0.5 * (a - b) ** 2 if abs(a - b) < 1 else abs(a - b) - 0.5


def slow_distance(student, teacher):
    def relative(x):
        n = len(x)
        distance = [[math.dist(x[i], x[j]) for j in range(n)] for i in range(n)]
        mean = sum(map(sum, distance)) / (n * (n - 1))
        return [value / mean for row in distance for value in row]

    pairs = list(zip(relative(student.tolist()), relative(teacher.tolist()), strict=True))
    return sum(smooth_l1(*pair) for pair in pairs) / len(pairs)


def slow_angle(student, teacher):
    def cosines(x):
        n, found = len(x), []
        for i in range(n):
            for j in range(n):
                for k in range(n):
                    a, b = ([q - p for p, q in zip(x[i], x[other], strict=True)] for other in (j, k))
                    length = math.hypot(*a) * math.hypot(*b)
                    found.append(sum(p * q for p, q in zip(a, b, strict=True)) / length if length else 0.0)
        return found

    triples = list(zip(cosines(student.tolist()), cosines(teacher.tolist()), strict=True))
    return sum(smooth_l1(*triple) for triple in triples) / len(triples)


def slow_cosine(student, teacher):
    found = [
        sum(p * q for p, q in zip(s, t, strict=True)) / (math.hypot(*s) * math.hypot(*t))
        for s, t in zip(student.tolist(), teacher.tolist(), strict=True)
    ]
    return 1 - sum(found) / len(found)


@pytest.mark.parametrize(
    ("fast", "slow"), [(rkd_distance, slow_distance), (rkd_angle, slow_angle), (cosine, slow_cosine)]
)
@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_equals_the_formula_as_loops(fast, slow, scale):
    student, teacher = embeddings(seed=1), embeddings(seed=2)
    student[0] *= scale  # far from the others: beyond the square part of smooth L1
    assert float(fast(student, teacher)) == pytest.approx(slow(student, teacher), rel=1e-9)
    assert float(fast(student, teacher)) > 0.01


@pytest.mark.parametrize("loss", LOSSES)
def test_identical_embeddings_have_no_loss(loss):
    x = embeddings()
    assert float(loss(x, x)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("loss", [rkd_distance, rkd_angle])
@pytest.mark.parametrize(
    "moved",
    [lambda x: x @ rotation(), lambda x: x + 7.0, lambda x: 0.01 * x, lambda x: 30 * x @ rotation() - 4.0],
    ids=["turned", "shifted", "scaled", "all"],
)
def test_relations_do_not_change_when_the_batch_is_moved_or_scaled(loss, moved):
    student, teacher = embeddings(seed=1), embeddings(seed=2)
    assert float(loss(moved(teacher), teacher)) == pytest.approx(0, abs=1e-12)
    assert float(loss(moved(student), teacher)) == pytest.approx(float(loss(student, teacher)), rel=1e-6)


def test_cosine_sees_turns_and_no_lengths():
    x = embeddings()
    assert float(cosine(3 * x, x)) == pytest.approx(0, abs=1e-12)
    assert float(cosine(-x, x)) == pytest.approx(2)
    assert float(cosine(x @ rotation(), x)) > 0.1


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_right_and_the_student_s_alone(loss):
    student, teacher = embeddings(4, 3, 1).requires_grad_(), embeddings(4, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, teacher.detach()), (student,))
    loss(student, teacher).backward()
    assert teacher.grad is None
    assert float(student.grad.norm()) > 1e-3


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_finite_where_embeddings_coincide(loss):
    student = embeddings(4, 3, 1).float()
    student[1] = student[0]
    student[2] = 0
    student.requires_grad_()
    value = loss(student, embeddings(4, 3, 2).float())
    value.backward()
    assert math.isfinite(float(value.detach()))
    assert student.grad.isfinite().all()
    assert 0 < float(student.grad.abs().max()) < 10
    everywhere_the_same = torch.zeros(4, 3, requires_grad=True)
    loss(everywhere_the_same, embeddings(4, 3, 2).float()).backward()
    assert (everywhere_the_same.grad == 0).all()


def test_too_few_samples_have_no_relations():
    one = embeddings(1).requires_grad_(), embeddings(1, seed=1)
    two = embeddings(2).requires_grad_(), embeddings(2, seed=1)
    for loss, batch in ((rkd_distance, one), (rkd_angle, one), (rkd_distance, two), (rkd_angle, two)):
        value = loss(*batch)
        value.backward()
        assert float(value.detach()) == pytest.approx(0, abs=1e-12)
        assert float(batch[0].grad.abs().max()) < 1e-12
    assert float(cosine(*one).detach()) == pytest.approx(slow_cosine(one[0].detach(), one[1]))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [((4, 3), (4, 2), r"\(4, 3\) and \(4, 2\), expected both \(N, D\)"), ((4,), (4,), r"\(4,\)"),
     ((2, 3), (3, 3), r"\(2, 3\) and \(3, 3\)"), ((0, 3), (0, 3), r"\(0, 3\)")],
)  # fmt: skip
def test_what_is_no_batch_of_embeddings(loss, student, teacher, expected):
    with pytest.raises(InputError, match=expected):
        loss(torch.zeros(student), torch.zeros(teacher))
