"""Answers of a model to a task's questions, zero-shot or after examples; in its chat template or as plain text."""

from __future__ import annotations

from collections.abc import Sequence

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


def prompted_answers(
    model: SavedModel,
    questions: Sequence[str],
    examples: Sequence[Conversation],
    most: int,
    choices: Sequence[str] = (),
) -> list[str]:
    """Answer each question after the examples: in at most `most` tokens, or by the likeliest of `choices`."""
    prompts = [prompt_ids(model, examples, question, most) for question in questions]
    chat = model.template is not None
    if choices:
        answers = [tuple(map(int, model.tokenizer.encode(each if chat else f" {each}"))) for each in choices]
        scores = likelihoods(
            model.decoder, [LikelihoodRequest(tuple(prompt), answer) for prompt in prompts for answer in answers]
        )
        nats = [each.nats for each in scores]
        rows = [nats[at : at + len(choices)] for at in range(0, len(nats), len(choices))]
        return [choices[row.index(max(row))] for row in rows]
    line = model.tokenizer.encode("\n")
    stop = ends_of(model) | ({int(line[0])} if len(line) == 1 and not chat else set())
    written = greedy_batch(model.decoder, prompts, most, stop)
    return [model.tokenizer.decode(ids).strip().partition("\n")[0] for ids in written]
