"""Apply a low-rank change to rows of a tensor, in f32, as peft's merge does."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LowRank:
    """first: [rank, columns] f32. second: [rows, rank] f32. For a stack of experts: [experts, rank, columns] and
    [experts, rows, rank]. row_lengths [rows], column_factors [columns]: for DoRA."""

    first: torch.Tensor
    second: torch.Tensor
    scaling: float
    row_lengths: torch.Tensor | None = None
    column_factors: torch.Tensor | None = None

    def rows(self, weight: torch.Tensor, start: int) -> torch.Tensor:
        """Return `weight`, the tensor's rows from `start` on, with the change applied, f32."""
        stop = start + len(weight)
        first = self.first[start:stop] if self.first.dim() == 3 else self.first
        change = (self.second[start:stop] @ first).reshape(weight.shape)
        merged = weight.float() + change * self.scaling
        if self.row_lengths is not None:
            found: torch.Tensor = torch.linalg.vector_norm(merged, dim=1)
            merged = merged * (self.row_lengths[start:stop] / found)[:, None]
        return merged if self.column_factors is None else merged * self.column_factors


def of_matrix(a: torch.Tensor, b: torch.Tensor, scaling: float, lengths: torch.Tensor | None) -> LowRank:
    """Return the change of a matrix: lora_A [rank, columns], or [rank, inputs, *kernel] of a convolution; lora_B [rows,
    rank, …]."""
    return LowRank(a.flatten(1), b.flatten(1), scaling, row_lengths=lengths)


def of_embedding(a: torch.Tensor, b: torch.Tensor, scaling: float) -> LowRank:
    """Return the change of an embedding: lora_embedding_A [rank, rows], lora_embedding_B [columns, rank]."""
    return LowRank(b.T.contiguous(), a.T.contiguous(), scaling)


def of_experts(a: torch.Tensor, b: torch.Tensor, experts: int, scaling: float) -> LowRank:
    """Return the change of experts: lora_A [experts × rank, columns], lora_B [rows, rank × experts], experts
    innermost."""
    first = a.reshape(experts, -1, a.shape[1])
    return LowRank(first, b.reshape(len(b), -1, experts).permute(2, 0, 1), scaling)
