"""Answers of a model to a task's questions, zero-shot or after examples; in its chat template or as plain text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from scratchlm.evaluation.likelihood import LikelihoodRequest, likelihoods
from scratchlm.evaluation.prompting import ends_of, fitted
from scratchlm.generation.batch import greedy_batch
from scratchlm.tokens.chat import Conversation
from scratchlm.weights.checkpoint import SavedModel


def prompt_ids(model: SavedModel, examples: Sequence[Conversation], question: str, new: int) -> list[int]:
    """Return the ids of a question after examples, cut at their beginning so that `new` tokens fit the context.

    A model with a chat template reads the examples as turns of one conversation; any other reads plain text.
    """
    context = model.decoder.config.context
    if model.template is not None:
        turns = [turn for example in examples for turn in example]
        return fitted(
            model.template.render([*turns, {"role": "user", "content": question}], reply=True).ids, new, context
        )
    shown = "".join(f"{asked['content']}\nAnswer: {said['content']}\n\n" for asked, said in examples)
    return fitted([int(id) for id in model.tokenizer.encode(f"{shown}{question}\nAnswer:")], new, context)


def choice_scores(
    model: SavedModel, questions: Sequence[str], examples: Sequence[Conversation], choices: Sequence[str], new: int
) -> Float[np.ndarray, "N C"]:
    """Return the mean log-likelihood per token of each choice, in nats, as the answer to each question.

    The mean, not the sum: a choice of two tokens would lose to one of a single token for its length alone.
    """
    prompts = [tuple(prompt_ids(model, examples, question, new)) for question in questions]
    chat = model.template is not None
    answers = [tuple(map(int, model.tokenizer.encode(each if chat else f" {each}"))) for each in choices]
    scores = likelihoods(model.decoder, [LikelihoodRequest(prompt, each) for prompt in prompts for each in answers])
    return np.array([each.nats / each.tokens for each in scores]).reshape(len(questions), len(choices))


def prompted_answers(
    model: SavedModel, questions: Sequence[str], examples: Sequence[Conversation], most: int
) -> list[str]:
    """Answer each question after the examples, greedily, by one line of at most `most` tokens."""
    prompts = [prompt_ids(model, examples, question, most) for question in questions]
    line = model.tokenizer.encode("\n")
    stop = ends_of(model) | ({int(line[0])} if len(line) == 1 and model.template is None else set())
    written = greedy_batch(model.decoder, prompts, most, stop)
    return [model.tokenizer.decode(ids).strip().partition("\n")[0] for ids in written]
