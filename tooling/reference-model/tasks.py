"""The tasks of packages/eval/data/tasks.json: facts, questions and answers as text, and prompts as token ids.

TASKS.md beside that file says how a prompt is put together; this is the Python reading of it. Training and evaluation
share the code and differ in the pool that keys and values are drawn from.
"""
import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np
from tokenizers import Tokenizer


@dataclass
class Question:
    prompt: str  # up to where the answer starts
    answer: str
    references: list[str]


@dataclass
class Group:
    """Facts that belong together, in the order in which they have to appear, and what can be asked about them."""

    facts: list[str]
    questions: list[Question] = field(default_factory=list)


class TaskText:
    def __init__(self, tasks: dict):
        self.prompt, self.tasks, self.words, self.reserved = tasks["prompt"], tasks["tasks"], tasks["words"], tasks["reserved"]

    @classmethod
    def load(cls, path: Path) -> "TaskText":
        return cls(json.loads(path.read_text()))

    def question(self, task: str, answer_values: dict, references: list[str], **values) -> Question:
        t = self.tasks[task]
        prefix = t["answerPrefix"].format(**values)
        prompt = self.prompt["question"].format(question=t["question"].format(**values), answerPrefix=prefix)
        return Question(prompt, t["answer"].format(**answer_values), references)


class EvaluationPool:
    """Keys and values that training never sees."""

    def __init__(self, text: TaskText, rng: Random):
        self.text, self.rng = text, rng

    def number(self, digits: int) -> str:
        return self._number(digits, lambda n: n % self.text.reserved["numberModulus"] == 0)

    def key(self) -> str:
        return self._key(lambda s: s % self.text.reserved["keyModulus"] == 0)

    def distinct_words(self, count: int) -> list[str]:
        return self.rng.sample(self.text.words["evaluation"], count)

    def _number(self, digits: int, allowed) -> str:
        while not allowed(n := self.rng.randrange(10 ** (digits - 1), 10**digits)):
            pass
        return str(n)

    def _key(self, allowed) -> str:
        adjectives, nouns = self.text.words["adjectives"], self.text.words["nouns"]
        while not allowed(sum(pair := (self.rng.randrange(len(adjectives)), self.rng.randrange(len(nouns))))):
            pass
        return f"{adjectives[pair[0]]} {nouns[pair[1]]}"


class TrainingPool(EvaluationPool):
    """Everything else; now and then words from outside the lists, so that copying does not depend on the lists."""

    FREE = 0.15

    def __init__(self, text: TaskText, rng: Random, free_words: list[str]):
        super().__init__(text, rng)
        self.free_words = free_words

    def number(self, digits: int) -> str:
        return self._number(digits, lambda n: n % self.text.reserved["numberModulus"] != 0)

    def key(self) -> str:
        if self.rng.random() < self.FREE:
            return " ".join(self.rng.sample(self.free_words, 2))
        return self._key(lambda s: s % self.text.reserved["keyModulus"] != 0)

    def distinct_words(self, count: int) -> list[str]:
        chosen: dict[str, None] = {}
        while len(chosen) < count:
            chosen[self.rng.choice(self.free_words if self.rng.random() < self.FREE else self.text.words["training"])] = None
        return list(chosen)


def _distinct(draw, count: int) -> list[str]:
    chosen: dict[str, None] = {}
    while len(chosen) < count:
        chosen[draw()] = None
    return list(chosen)


def needles(text: TaskText, pool: EvaluationPool, task: str, count: int) -> Group:
    t = text.tasks[task]
    keys = _distinct(pool.key, count)
    values = [pool.number(t["digits"]) for _ in keys] if "digits" in t else pool.distinct_words(count)
    pairs = list(zip(keys, values))
    return Group(
        [t["fact"].format(key=k, value=v) for k, v in pairs],
        [text.question(task, {"value": v}, [v], key=k) for k, v in pairs],
    )


def key_values(text: TaskText, pool: EvaluationPool, count: int) -> Group:
    t = text.tasks["key-value"]
    pairs = [(k, pool.number(t["digits"])) for k in _distinct(lambda: pool.number(t["keyDigits"]), count)]
    return Group(
        [t["fact"].format(key=k, value=v) for k, v in pairs],
        [text.question("key-value", {"value": v}, [v], key=k) for k, v in pairs],
    )


def chain(text: TaskText, pool: EvaluationPool, names: list[str]) -> Group:
    t = text.tasks["variable-chain"]
    value = pool.number(t["digits"])
    facts = [t["fact"].format(value=value, name=names[0])]
    facts += [t["hop"].format(**{"from": a, "to": b}) for a, b in zip(names, names[1:])]
    joined = text.prompt["listSeparator"].join(names)
    return Group(facts, [text.question("variable-chain", {"names": joined}, names, value=value)])


def common_words(text: TaskText, pool: EvaluationPool, counts: list[int], others: int, other_count: int) -> Group:
    task = "common-word" if len(counts) == 1 else "common-words"
    words = pool.distinct_words(len(counts) + others)
    facts = [text.tasks[task]["fact"].format(word=w) for w, n in zip(words, counts + [other_count] * others) for _ in range(n)]
    pool.rng.shuffle(facts)
    answer = dict(zip(("first", "second"), words))
    return Group(facts, [text.question(task, answer, words[: len(counts)])])


class Assembler:
    """Plants facts between the sentences of a haystack of token ids."""

    def __init__(self, text: TaskText, tokenizer: Tokenizer):
        self.text, self.tokenizer = text, tokenizer
        self.bos, self.eos = (tokenizer.token_to_id(text.prompt[k]) for k in ("bos", "eos"))
        decoded = [tokenizer.decode([i]) for i in range(tokenizer.get_vocab_size())]
        self.ends_sentence = np.array([d.endswith((".", "!", "?")) for d in decoded])
        self.starts_space = np.array([d.startswith((" ", "\n")) for d in decoded])
        self.separator = self.encode(text.prompt["documentSeparator"])
        self.answer_end = self.encode(text.prompt["answerEnd"]) + [self.eos]

    @lru_cache(maxsize=20_000)
    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids

    def fact(self, fact: str) -> list[int]:
        return self.encode(self.text.prompt["factPrefix"] + fact)

    def insertion_points(self, haystack: np.ndarray, count: int, rng: Random) -> list[int]:
        """Ascending indices before which a fact goes: distinct while the haystack has enough ends of sentences."""
        points = (np.flatnonzero(self.ends_sentence[haystack[:-1]] & self.starts_space[haystack[1:]]) + 1).tolist()
        points = points or [len(haystack)]
        chosen = rng.sample(points, min(count, len(points)))
        return sorted(chosen + rng.choices(points, k=count - len(chosen)))

    def order(self, groups: list[Group], rng: Random) -> list[list[int]]:
        """The facts of all groups as ids, groups mixed at random, each group's facts in their order."""
        labels = [i for i, g in enumerate(groups) for _ in g.facts]
        rng.shuffle(labels)
        remaining = [iter(g.facts) for g in groups]
        return [self.fact(next(remaining[i])) for i in labels]

    def plant(self, haystack: np.ndarray, facts: list[list[int]], rng: Random) -> list[tuple[np.ndarray, bool]]:
        """Pieces in order; True marks a fact."""
        pieces, last = [], 0
        for point, fact in zip(self.insertion_points(haystack, len(facts), rng), facts):
            pieces += [(haystack[last:point], False), (np.array(fact, dtype=np.int64), True)]
            last = point
        return pieces + [(haystack[last:], False)]

    def prompt(self, haystack: np.ndarray, group: Group, question: Question, length: int, rng: Random) -> list[int]:
        """A prompt of exactly `length` tokens: BOS, text with facts, the question up to where the answer starts."""
        facts, asked = self.order([group], rng), self.encode(question.prompt)
        room = length - 1 - len(asked) - sum(map(len, facts))
        if room < 1 or room > len(haystack):
            raise ValueError(f"{length} tokens leave {room} for the text; there are {len(haystack)}")
        pieces = self.plant(haystack[:room], facts, rng)
        return [self.bos, *np.concatenate([p for p, _ in pieces]).tolist(), *asked]
