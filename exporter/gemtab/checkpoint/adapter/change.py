"""What a low-rank change does to the rows of a tensor, as peft's merge computes it, in f32."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LowRank:
    """first: [rank, columns]; second: [rows, rank]; of a stack of experts [experts, rank, columns] and [experts, rows,
    rank]. row_lengths, column_factors: of DoRA, [rows] and [columns]."""

    first: torch.Tensor
    second: torch.Tensor
    scaling: float
    row_lengths: torch.Tensor | None = None
    column_factors: torch.Tensor | None = None

    def rows(self, weight: torch.Tensor, start: int) -> torch.Tensor:
        """Rows of the tensor from `start` on, changed."""
        stop = start + len(weight)
        first = self.first[start:stop] if self.first.dim() == 3 else self.first
        change = (self.second[start:stop] @ first).reshape(weight.shape)
        merged = weight.float() + change * self.scaling
        if self.row_lengths is not None:
            found: torch.Tensor = torch.linalg.vector_norm(merged, dim=1)
            merged = merged * (self.row_lengths[start:stop] / found)[:, None]
        return merged if self.column_factors is None else merged * self.column_factors


def of_matrix(a: torch.Tensor, b: torch.Tensor, scaling: float, lengths: torch.Tensor | None) -> LowRank:
    """lora_A [rank, columns], or of a convolution [rank, inputs, *kernel]; lora_B [rows, rank, …]."""
    return LowRank(a.flatten(1), b.flatten(1), scaling, row_lengths=lengths)


def of_embedding(a: torch.Tensor, b: torch.Tensor, scaling: float) -> LowRank:
    """lora_embedding_A [rank, rows], lora_embedding_B [columns, rank]."""
    return LowRank(b.T.contiguous(), a.T.contiguous(), scaling)


def of_experts(a: torch.Tensor, b: torch.Tensor, experts: int, scaling: float) -> LowRank:
    """lora_A [experts × rank, columns], lora_B [rows, rank × experts]: the experts vary fastest in the latter."""
    first = a.reshape(experts, -1, a.shape[1])
    return LowRank(first, b.reshape(len(b), -1, experts).permute(2, 0, 1), scaling)
