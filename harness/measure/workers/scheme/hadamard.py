"""Hadamard matrices of the sizes that models have: Paley's constructions times powers of two.

R. E. A. C. Paley, On orthogonal matrices, J. Math. Phys. 12 (1933). A matrix of order q + 1 exists for a prime
q ≡ 3 (mod 4), one of order 2 (q + 1) for a prime q ≡ 1 (mod 4); doubling is Sylvester's.
"""

from functools import cache

import torch

LARGEST_CORE = 512


class NoHadamardError(Exception):
    """No Hadamard matrix of that size is known here."""


def split(size: int) -> tuple[int, int]:
    """(order of the core, power of two) whose product is the size, the core as small as can be.

    Raises:
        NoHadamardError: no core fits.
    """
    power = size & -size
    while power >= 1:
        core = size // power
        if core > LARGEST_CORE:
            break
        if core <= 2 or _construction(core) is not None:
            return core, power
        power //= 2
    raise NoHadamardError(f"no Hadamard matrix of order {size} is known here")


@cache
def hadamard(size: int) -> torch.Tensor:
    """[size, size] of ±1 in float32, rows orthogonal.

    Raises:
        NoHadamardError: none is known here.
    """
    core, power = split(size)
    return torch.kron(_core(core), _sylvester(power))


def rotate_last(values: torch.Tensor) -> torch.Tensor:
    """values [..., size] times the orthonormal Hadamard matrix of that size, by its two factors."""
    core, power = split(values.shape[-1])
    grid = values.unflatten(-1, (core, power))
    a, b = _core(core).to(values), _sylvester(power).to(values)
    return ((a.T @ (grid @ b)) / values.shape[-1] ** 0.5).flatten(-2)


def random_hadamard(size: int, generator: torch.Generator) -> torch.Tensor:
    """An orthogonal matrix: a Hadamard matrix whose rows have random signs, in float64."""
    signs = torch.randint(0, 2, (size, 1), generator=generator, dtype=torch.float64) * 2 - 1
    return signs * hadamard(size).double() / size**0.5


@cache
def _sylvester(power: int) -> torch.Tensor:
    two = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    found = torch.ones(1, 1)
    while len(found) < power:
        found = torch.kron(found, two)
    return found


@cache
def _core(order: int) -> torch.Tensor:
    if order <= 2:
        return _sylvester(order)
    kind = _construction(order)
    if kind is None:
        raise NoHadamardError(f"no Hadamard matrix of order {order} is known here")
    return _paley_one(order - 1) if kind == 1 else _paley_two(order // 2 - 1)


def _construction(order: int) -> int | None:
    """1 or 2, which of Paley's constructions gives the order."""
    if order % 4:
        return None
    if _is_prime(order - 1) and (order - 1) % 4 == 3:
        return 1
    if _is_prime(order // 2 - 1) and (order // 2 - 1) % 4 == 1:
        return 2
    return None


def _paley_one(q: int) -> torch.Tensor:
    """I + S, S the skew matrix of Jacobsthal's with a border."""
    bordered = torch.zeros(q + 1, q + 1)
    bordered[0, 1:], bordered[1:, 0] = 1, -1
    bordered[1:, 1:] = _jacobsthal(q)
    return bordered + torch.eye(q + 1)


def _paley_two(q: int) -> torch.Tensor:
    """Each 0 of the symmetric conference matrix becomes one 2 × 2 block, each ±1 another."""
    conference = torch.zeros(q + 1, q + 1)
    conference[0, 1:] = conference[1:, 0] = 1
    conference[1:, 1:] = _jacobsthal(q)
    of_zero, of_one = torch.tensor([[1.0, -1.0], [-1.0, -1.0]]), torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    return torch.kron(conference, of_one) + torch.kron(torch.eye(q + 1), of_zero)


def _jacobsthal(q: int) -> torch.Tensor:
    """[q, q]: the Legendre symbol of column − row."""
    squares = {n * n % q for n in range(1, q)}
    symbols = torch.tensor([0.0, *(1.0 if n in squares else -1.0 for n in range(1, q))])
    places = torch.arange(q)
    return symbols[(places[None] - places[:, None]) % q]


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))
