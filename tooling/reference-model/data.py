"""Training samples: plain text, and text with planted facts and questions at its end.

Each sample is length + 1 token ids and a loss weight for each of the last `length` of them.
"""
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.utils.data import DataLoader, IterableDataset

from tasks import Assembler, Group, TaskText, TrainingPool, chain, common_words, key_values, needles

# Answers are what the model is for. Planted facts and questions cannot be predicted, so they count little; so does the
# text around them: there is little text, and a model that learns it from every sample soon knows it by heart.
TEXT, AROUND, FACT, ASKED, PREFIX, ANSWER = 1.0, 0.1, 0.1, 0.1, 1.0, 4.0
GROUPS = {"needle-number": 0.18, "needle-word": 0.2, "key-value": 0.15, "variable-chain": 0.23, "common-word": 0.06, "common-words": 0.18}


@dataclass
class Mix:
    """The share of samples without facts, and how much is asked about the facts of one of the others."""

    plain: float
    questions: int
    per_group: int

    @classmethod
    def at(cls, length: int) -> "Mix":
        return cls(0.35, 6, 4) if length <= 1024 else cls(0.2, 12, 6)


@dataclass
class Corpus:
    ids: np.ndarray
    offsets: np.ndarray
    words: list[str]

    @classmethod
    def load(cls, path: Path) -> "Corpus":
        packed = np.load(path)
        return cls(packed["ids"], packed["offsets"], packed["words"].tolist())

    def text(self, length: int, joint: list[int], rng: Random) -> np.ndarray:
        """`length` tokens from a random place on; whole documents follow where one ends, with `joint` between."""
        start = rng.randrange(len(self.ids))
        document = int(np.searchsorted(self.offsets, start, side="right"))
        pieces, missing = [], length
        while True:
            piece = self.ids[start : min(start + missing, self.offsets[document])]
            pieces.append(piece.astype(np.int64))
            missing -= len(piece)
            if missing <= len(joint):
                return np.concatenate([*pieces, np.array(joint, dtype=np.int64)])[:length]
            pieces.append(np.array(joint, dtype=np.int64))
            missing -= len(joint)
            document = rng.randrange(1, len(self.offsets))
            start = int(self.offsets[document - 1])


class Sampler:
    def __init__(self, corpus: Corpus, text: TaskText, assembler: Assembler, seed: int):
        self.corpus, self.text, self.assembler = corpus, text, assembler
        self.rng = Random(seed)
        self.pool = TrainingPool(text, self.rng, corpus.words)

    def group(self, task: str) -> list[Group]:
        rng, text, pool = self.rng, self.text, self.pool
        if task.startswith("needle"):
            return [needles(text, pool, task, rng.choice([1, 1, 2, 4, 8, 8, 10]))]
        if task == "key-value":
            return [key_values(text, pool, rng.choice([8, 16, 32, 32]))]
        if task == "variable-chain":
            lengths = [rng.choice([2, 3, 4, 5, 5, 6]) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
            names = pool.distinct_words(sum(lengths))
            return [chain(text, pool, [names.pop() for _ in range(n)]) for n in lengths]
        counts = [rng.randint(8, 12)] if task == "common-word" else [rng.randint(11, 14), rng.randint(7, 9)]
        return [common_words(text, pool, counts, rng.randint(6, 12), rng.choice([1, 2, 2, 3]))]

    def groups(self, length: int) -> list[Group]:
        """One to three kinds of facts, as long as they fill less than half of the sample."""
        rng, groups, tokens = self.rng, [], 0
        kinds: list[str] = []
        while len(kinds) < rng.choices([1, 2, 3], [5, 3, 2])[0]:
            kind = rng.choices(list(GROUPS), list(GROUPS.values()))[0]
            if kind in kinds or (kind.startswith("common") and any(k.startswith("common") for k in kinds)):
                continue
            kinds.append(kind)
            new = self.group(kind)
            tokens += sum(len(self.assembler.fact(f)) for g in new for f in g.facts)
            if groups and tokens > length // 2:
                break
            groups += new
        return groups

    def plain(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        a = self.assembler
        ids = np.concatenate([[a.bos], self.corpus.text(length, [a.eos], self.rng)])
        return ids, np.full(length, TEXT)

    def asked(self, length: int) -> tuple[list[tuple[np.ndarray, bool]], list[int], list[float]]:
        """A document in pieces (True marks a fact), then questions with answers, and their weights: `length` tokens without a BOS."""
        a, rng, mix = self.assembler, self.rng, Mix.at(length)
        groups = self.groups(length)
        questions = [q for g in groups for q in rng.sample(g.questions, min(len(g.questions), mix.per_group))]
        rng.shuffle(questions)
        tail: list[int] = []
        tail_weights: list[float] = []
        for q in questions[: mix.questions]:
            head, prefix = q.prompt[: (cut := q.prompt.index("\nAnswer:") + len("\nAnswer:"))], q.prompt[cut:]
            for ids, weight in ((a.encode(head), ASKED), (a.encode(prefix), PREFIX), (a.encode(q.answer), ANSWER), (a.answer_end, TEXT)):
                tail += ids
                tail_weights += [weight] * len(ids)
        facts = a.order(groups, rng)
        room = length - len(tail) - sum(map(len, facts))
        if room < 1:
            raise ValueError(f"samples of {length} tokens are too short for these facts; 1,024 is enough")
        return a.plant(self.corpus.text(room, a.separator, rng), facts, rng), tail, tail_weights

    def with_facts(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        pieces, tail, tail_weights = self.asked(length)
        ids = np.concatenate([[self.assembler.bos], *(p for p, _ in pieces), tail])
        weights = np.concatenate([*(np.full(len(p), FACT if planted else AROUND) for p, planted in pieces), tail_weights])
        return ids, weights

    def sample(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        return self.plain(length) if self.rng.random() < Mix.at(length).plain else self.with_facts(length)


class Batches(IterableDataset):
    """Endless batches of one length; every worker draws its own."""

    def __init__(self, corpus: Corpus, tasks: Path, tokenizer: Path, length: int, batch: int, seed: int):
        self.args = corpus, tasks, tokenizer, length, batch, seed

    def __iter__(self):
        corpus, tasks, tokenizer, length, batch, seed = self.args
        worker = torch.utils.data.get_worker_info()
        text = TaskText.load(tasks)
        sampler = Sampler(corpus, text, Assembler(text, Tokenizer.from_file(str(tokenizer))), seed * 1000 + (worker.id if worker else 0))
        while True:
            ids, weights = zip(*(sampler.sample(length) for _ in range(batch)))
            yield torch.from_numpy(np.stack(ids).astype(np.int32)), torch.from_numpy(np.stack(weights).astype(np.float16))


def loader(batches: Batches, workers: int) -> DataLoader:
    extra = {"multiprocessing_context": "fork", "prefetch_factor": 4} if workers else {}
    return DataLoader(batches, batch_size=None, num_workers=workers, pin_memory=torch.cuda.is_available(), **extra)
