"""LyCORIS' types that add to a weight: LoHa, LoKr, GLoRA, IA3, full and norm (Yeh et al. 2023).

Each as the shapes it accepts and the change it makes; scale, DoRA and strength are `Change`'s.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from app.networks.change import Parts, Shape, Shapes


class Hadamard:
    """LoHa: (w1_a @ w1_b) * (w2_a @ w2_b), each with a core t [r, r, k, k] in the Tucker form."""

    name = "LoHa"

    def fits(self, shapes: Shapes, target: Shape) -> bool:
        """See `Kind`."""
        halves = ("1", "2")
        return len(target) > 1 and all(self._half(shapes, half, target) for half in halves)

    def rank(self, shapes: Shapes) -> int | None:
        """Rows of w1_b."""
        return shapes["hada_w1_b"][0]

    def delta(self, parts: Parts, weight: Tensor) -> Tensor:
        """See `Kind`."""
        first, second = (self._product(parts, half) for half in ("1", "2"))
        return first * second

    @staticmethod
    def _half(shapes: Shapes, half: str, target: Shape) -> bool:
        a, b, core = shapes[f"hada_w{half}_a"], shapes[f"hada_w{half}_b"], shapes.get(f"hada_t{half}")
        if len(a) != 2 or len(b) != 2:
            return False
        if core is None:
            return a[0] == target[0] and a[1] == b[0] and b[1] == math.prod(target[1:])
        ranks = len(core) == 4 and core[0] == a[0] and core[1] == b[0] and core[2:] == target[2:]
        return ranks and a[1] == target[0] and b[1] == target[1]

    @staticmethod
    def _product(parts: Parts, half: str) -> Tensor:
        a, b = parts[f"hada_w{half}_a"], parts[f"hada_w{half}_b"]
        if f"hada_t{half}" not in parts:
            return a @ b
        return torch.einsum("mnkl,mo,ni->oikl", parts[f"hada_t{half}"], a, b)


class Kronecker:
    """LoKr: the Kronecker product of w1 and w2, each whole or a product of two, w2 also with a core t2 [r, r, k, k]."""

    name = "LoKr"

    def fits(self, shapes: Shapes, target: Shape) -> bool:
        """See `Kind`."""
        first, second = self._first(shapes), self._second(shapes)
        if len(target) < 2 or first is None or second is None or first[0] * second[0] != target[0]:
            return False
        # A convolution's w2 in two factors has its kernel flattened into its columns, behind the inputs.
        return first[1] * math.prod(second[1:]) == math.prod(target[1:]) and target[1] % first[1] == 0

    def rank(self, shapes: Shapes) -> int | None:
        """Rows of w2_b, else of w1_b; none where both factors are whole."""
        for name in ("lokr_w2_b", "lokr_w1_b"):
            if name in shapes:
                return shapes[name][0]
        return None

    def delta(self, parts: Parts, weight: Tensor) -> Tensor:
        """See `Kind`."""
        first = parts["lokr_w1"] if "lokr_w1" in parts else parts["lokr_w1_a"] @ parts["lokr_w1_b"]
        if "lokr_w2" in parts:
            second = parts["lokr_w2"]
        elif "lokr_t2" in parts:
            second = torch.einsum("mnkl,mo,ni->oikl", parts["lokr_t2"], parts["lokr_w2_a"], parts["lokr_w2_b"])
        else:
            second = parts["lokr_w2_a"] @ parts["lokr_w2_b"].flatten(1)
        rows, columns = weight.shape[0] // first.shape[0], weight.shape[1] // first.shape[1]
        second = second.reshape(rows, columns, *weight.shape[2:])
        return torch.kron(first.reshape(*first.shape[:2], *[1] * (second.dim() - 2)).contiguous(), second.contiguous())

    @staticmethod
    def _first(shapes: Shapes) -> Shape | None:
        if "lokr_w1" in shapes:
            return shapes["lokr_w1"] if len(shapes["lokr_w1"]) == 2 else None
        a, b = shapes.get("lokr_w1_a"), shapes.get("lokr_w1_b")
        return (a[0], b[1]) if a and b and len(a) == len(b) == 2 and a[1] == b[0] else None

    @staticmethod
    def _second(shapes: Shapes) -> Shape | None:
        if "lokr_w2" in shapes:
            return shapes["lokr_w2"] if len(shapes["lokr_w2"]) >= 2 else None
        a, b, core = shapes.get("lokr_w2_a"), shapes.get("lokr_w2_b"), shapes.get("lokr_t2")
        if not a or not b or len(a) != 2 or len(b) < 2:
            return None
        if core is not None:
            fits = len(core) == 4 and core[0] == a[0] and core[1] == b[0] and len(b) == 2
            return (a[1], b[1], *core[2:]) if fits else None
        return (a[0], math.prod(b[1:])) if a[1] == b[0] else None


class Generalised:
    """GLoRA: b @ b' + W @ a @ a' (Chavan et al. 2023, without its bias terms).

    Old files hold a2 [in, r], a1 [r, in], b2 [out, r], b1 [r, in]; today's the two of each pair the other way round.
    """

    name = "GLoRA"

    def fits(self, shapes: Shapes, target: Shape) -> bool:
        """See `Kind`."""
        if len(target) < 2 or "bm.weight" in shapes:
            return False
        return self._order(shapes, target) is not None

    def rank(self, shapes: Shapes) -> int | None:
        """The thin side of a1."""
        return min(shapes["a1.weight"][:2])

    def delta(self, parts: Parts, weight: Tensor) -> Tensor:
        """See `Kind`."""
        order = self._order({name: tuple(part.shape) for name, part in parts.items()}, tuple(weight.shape))
        assert order is not None
        wide, thin = (parts[f"a{number}.weight"].flatten(1) for number in order)
        added = parts[f"b{order[0]}.weight"].flatten(1) @ parts[f"b{order[1]}.weight"].flatten(1)
        turned = torch.einsum("oi...,ir,rj->oj...", weight, wide, thin)
        return added.reshape(weight.shape) + turned

    @staticmethod
    def _order(shapes: Shapes, target: Shape) -> tuple[str, str] | None:
        """Numbers of the [in, r] and [r, in] matrices; those of b follow the same order."""
        for first, second in (("2", "1"), ("1", "2")):
            wide, thin = shapes[f"a{first}.weight"], shapes[f"a{second}.weight"]
            up, down = shapes[f"b{first}.weight"], shapes[f"b{second}.weight"]
            if min(len(wide), len(thin), len(up), len(down)) < 2:
                return None
            turned = wide[0] == target[1] == math.prod(thin[1:]) and math.prod(wide[1:]) == thin[0]
            added = up[0] == target[0] and math.prod(up[1:]) == down[0]
            if turned and added and math.prod(down[1:]) == math.prod(target[1:]):
                return first, second
        return None


class Scaled:
    """IA3: each input's or output's weights times 1 + w (Liu et al. 2022)."""

    name = "IA3"

    def fits(self, shapes: Shapes, target: Shape) -> bool:
        """Whether inputs or outputs are meant is a value of the file: either number passes, wrong ones raise later."""
        return len(target) > 1 and math.prod(shapes["weight"]) in target[:2]

    def rank(self, shapes: Shapes) -> int | None:
        """None."""
        return None

    def delta(self, parts: Parts, weight: Tensor) -> Tensor:
        """See `Kind`."""
        sides = [1] * weight.dim()
        sides[1 if bool(parts["on_input"]) else 0] = -1
        return weight * parts["weight"].reshape(sides)


class Added:
    """Full: the difference itself. Also for biases, and for the weights of norms, which have one dimension."""

    def __init__(self, name: str, part: str) -> None:
        self.name = name
        self.part = part

    def fits(self, shapes: Shapes, target: Shape) -> bool:
        """See `Kind`."""
        shape = shapes[self.part]
        return math.prod(shape) == math.prod(target) and bool(shape) and shape[0] == target[0]

    def rank(self, shapes: Shapes) -> int | None:
        """None."""
        return None

    def delta(self, parts: Parts, weight: Tensor) -> Tensor:
        """See `Kind`."""
        return parts[self.part]


LOHA = Hadamard()
LOKR = Kronecker()
GLORA = Generalised()
IA3 = Scaled()
FULL = Added("Full", "diff")
FULL_BIAS = Added("Full", "diff_b")
NORM = Added("Norm", "w_norm")
NORM_BIAS = Added("Norm", "b_norm")
LORA_BIAS = Added("LoRA", "up_bias")
