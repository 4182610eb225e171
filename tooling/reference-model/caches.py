"""Caches for evaluation: everything, or what SnapKV keeps of the prompt."""
import torch
import torch.nn.functional as F
from torch import Tensor


class FullCache:
    def __init__(self) -> None:
        self.k: dict[int, Tensor] = {}
        self.v: dict[int, Tensor] = {}

    def step(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if layer in self.k:
            k, v = torch.cat([self.k[layer], k], dim=2), torch.cat([self.v[layer], v], dim=2)
        self.k[layer], self.v[layer] = k, v
        return k, v


class SnapKVCache(FullCache):
    """SnapKV with one set of rows per KV head: the votes of a group's query heads are averaged before pooling.

    The prompt's own attention is exact; rows are dropped after it, so decoding sees `capacity` rows of the prompt.
    """

    def __init__(self, capacity: int, window: int = 16, kernel: int = 7, pooling: str = "max") -> None:
        super().__init__()
        self.capacity, self.window, self.kernel, self.pooling = capacity, window, kernel, pooling

    def step(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        prompt = layer not in self.k
        all_k, all_v = super().step(layer, q, k, v)
        if prompt and k.shape[2] > self.capacity:
            rows = self.keep(q, k)[..., None].expand(-1, -1, -1, k.shape[-1])
            self.k[layer], self.v[layer] = k.gather(2, rows), v.gather(2, rows)
        return all_k, all_v

    def keep(self, q: Tensor, k: Tensor) -> Tensor:
        """Indices of kept rows, [batch, KV heads, capacity]."""
        batch, kv_heads, n, head_dim = k.shape
        window = self.window
        q = q[:, :, -window:].reshape(batch, kv_heads, -1, window, head_dim)
        scores = q @ k[:, :, None].transpose(-1, -2) / head_dim**0.5
        future = torch.ones(window, window, dtype=torch.bool, device=k.device).triu(1)
        scores[..., -window:].masked_fill_(future, float("-inf"))
        votes = scores.softmax(-1).sum(-2).mean(2)[..., : n - window]
        pool = F.max_pool1d if self.pooling == "max" else F.avg_pool1d
        pooled = pool(votes, self.kernel, stride=1, padding=self.kernel // 2)
        top = pooled.topk(self.capacity - window, dim=-1).indices
        last = torch.arange(n - window, n, device=k.device).expand(batch, kv_heads, -1)
        return torch.cat([top.sort(-1).values, last], dim=-1)
