"""A first model, from text to sentences, in about a minute. Open it with: marimo edit notes/first_model.py"""

import marimo

app = marimo.App(width="medium", app_title="A first language model")


@app.cell
def _():
    import math

    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    import torch

    from scratchlm import storyworld
    from scratchlm.classic.ngram_fast import KneserNey
    from scratchlm.data.batches import ArrayTokens, WindowBatches
    from scratchlm.evaluation.bits import held_out_loss
    from scratchlm.generation.language_model import LanguageModel
    from scratchlm.model.decoder import build_decoder
    from scratchlm.model.presets import qwen3_shaped
    from scratchlm.tokens.base import END_OF_TEXT
    from scratchlm.tokens.fast import FastBPE
    from scratchlm.training.config import AdamWConfig, MuonConfig, TrainingConfig
    from scratchlm.training.loop import Loop
    from scratchlm.weights.checkpoint import SavedModel

    return (
        AdamWConfig,
        END_OF_TEXT,
        ArrayTokens,
        FastBPE,
        KneserNey,
        LanguageModel,
        Loop,
        MuonConfig,
        SavedModel,
        TrainingConfig,
        WindowBatches,
        build_decoder,
        held_out_loss,
        math,
        mo,
        np,
        plt,
        qwen3_shaped,
        storyworld,
        torch,
    )


@app.cell
def _(mo):
    mo.md("""
    # A first language model

    A language model gives every possible next token a probability. It does nothing else, and is trained for nothing else.
    Below, one is trained from random weights: **text → tokens → a network → training → sentences**. Every number on this
    page is computed while you read; change a slider and everything that depends on it is computed again.

    ## 1. Text

    The stories are generated, so nothing has to be downloaded. They describe one small world whose facts never contradict
    each other.
    """)
    return


@app.cell
def _(storyworld):
    stories = list(storyworld.stories(700_000, seed=1))
    train_stories, held_out_stories = stories[:-40], stories[-40:]
    print(
        f"{len(train_stories):,} training stories, {len(held_out_stories)} held out. One of them:\n"
    )
    print(held_out_stories[0])
    return held_out_stories, train_stories


@app.cell
def _(mo):
    vocabulary = mo.ui.slider(
        300, 2000, step=100, value=2000, label="vocabulary size", show_value=True
    )
    mo.vstack(
        [
            mo.md("""
    ## 2. Tokens

    A network reads numbers. Byte-pair encoding starts with the 256 bytes and repeatedly merges the most frequent pair of
    neighbours: frequent words become one token, rare ones several. 💡 What if there were fewer, or more?
    """),
            vocabulary,
        ]
    )
    return (vocabulary,)


@app.cell
def _(END_OF_TEXT, FastBPE, held_out_stories, np, train_stories, vocabulary):
    tokenizer = FastBPE.train(train_stories, vocabulary.value)
    end = tokenizer.specials[END_OF_TEXT]

    def encode(texts):
        return np.concatenate(
            [np.append(ids, end) for ids in tokenizer.encode_batch(texts)]
        ).astype(np.int64)

    train_ids, held_out_ids = encode(train_stories), encode(held_out_stories)
    sentence = held_out_stories[0].split(".")[0] + "."
    pieces = [
        tokenizer.token_bytes(i).decode("utf-8", "replace") for i in tokenizer.encode(sentence)
    ]
    print("|".join(pieces))
    print(f"{len(sentence)} characters, {len(pieces)} tokens; {len(train_ids):,} training tokens")
    return held_out_ids, tokenizer, train_ids


@app.cell
def _(build_decoder, math, mo, qwen3_shaped, tokenizer, torch):
    start = build_decoder(
        qwen3_shaped(tokenizer.vocabulary_size, width=96, layers=2, context=96), seed=1
    )

    def next_tokens(decoder, text, count=5):
        """Return the likeliest next tokens of a text with their probabilities."""
        with torch.no_grad():
            probabilities = decoder.eval()(torch.tensor([tokenizer.encode(text)]))[0, -1].softmax(
                -1
            )
        best = probabilities.topk(count)
        return [
            (tokenizer.token_bytes(i).decode("utf-8", "replace"), p)
            for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    uniform = math.log(tokenizer.vocabulary_size)
    mo.md(f"""
    ## 3. A network

    Two blocks of attention and feed-forward, width {start.config.width}, **{start.parameter_count():,} parameters**, all
    random. It has no preference yet, so each of the {tokenizer.vocabulary_size:,} tokens is about equally likely. The loss,
    the negative log-probability of the actual next token, should be near ln {tokenizer.vocabulary_size:,} =
    **{uniform:.3f}**.
    """)
    return next_tokens, start, uniform


@app.cell
def _(ArrayTokens, held_out_ids, held_out_loss, next_tokens, start, tokenizer, uniform):
    before = held_out_loss(start, tokenizer, ArrayTokens(held_out_ids))
    print(
        f"loss of the untrained network on held-out stories: {before.loss:.3f} (no preference: {uniform:.3f})"
    )
    print(
        "after 'The little':",
        ", ".join(f"{piece!r} {100 * p:.2f}%" for piece, p in next_tokens(start, "The little")),
    )
    return (before,)


@app.cell
def _(mo):
    steps = mo.ui.slider(100, 3000, step=100, value=600, label="training steps", show_value=True)
    rate = mo.ui.slider(
        steps=[0.001, 0.003, 0.01, 0.03, 0.1, 0.3],
        value=0.03,
        label="learning rate",
        show_value=True,
    )
    mo.vstack(
        [
            mo.md("""
    ## 4. Training

    One step: take a batch of text, let the network predict every token from those before it, and move every parameter a
    little in the direction that makes the actual next tokens more likely. ⚠️ Too small a learning rate learns slowly, too
    large a one not at all: try both. 🎯 After how many steps does the network beat counting?
    """),
            steps,
            rate,
        ]
    )
    return rate, steps


@app.cell
def _(
    AdamWConfig,
    ArrayTokens,
    Loop,
    MuonConfig,
    TrainingConfig,
    WindowBatches,
    build_decoder,
    rate,
    start,
    steps,
    train_ids,
):
    tables = AdamWConfig(learning_rate=rate.value / 3, weight_decay=0.0)
    training = TrainingConfig(
        steps=steps.value,
        batch_size=8,
        sequence_length=96,
        optimizer=MuonConfig(learning_rate=rate.value, adam=tables),
    )
    decoder = build_decoder(start.config, seed=1)
    loop = Loop(decoder, WindowBatches(ArrayTokens(train_ids), 8, 96, seed=1), training)
    losses = [record.loss for record in loop.steps()]
    return decoder, losses


@app.cell
def _(KneserNey, held_out_ids, tokenizer, train_ids):
    def ngram_loss(n):
        """Return the loss of an n-gram model on the held-out stories, in nats per token."""
        model = KneserNey.fit([train_ids], tokenizer.vocabulary_size, order=n)
        return -float(model.token_log_probabilities(held_out_ids).mean())

    by_n = {n: ngram_loss(n) for n in range(1, 8)}
    best_n = min(by_n, key=by_n.get)  # chosen on the held-out text itself, which favours counting
    rival = by_n[best_n]
    return best_n, by_n, rival


@app.cell
def _(best_n, losses, np, plt, rival, uniform):
    _smooth = np.convolve(losses, np.ones(20) / 20, mode="valid")
    _, _axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    _axes.plot(
        losses, color="C1", alpha=0.3, linewidth=0.8, label="network: loss of each step's batch"
    )
    _axes.plot(np.arange(len(_smooth)) + 19, _smooth, color="C1", label="network: mean of 20 steps")
    _axes.axhline(uniform, color="black", linestyle=":", label="every token equally likely")
    _axes.axhline(
        rival, color="C0", linestyle="--", label=f"counting ({best_n}-grams), held-out stories"
    )
    _axes.set(xlabel="step", ylabel="loss (nats per token)", ylim=(0, None))
    _axes.legend(frameon=False)
    plt.show()
    return


@app.cell
def _(
    ArrayTokens, before, best_n, by_n, decoder, held_out_ids, held_out_loss, mo, rival, tokenizer
):
    after = held_out_loss(decoder, tokenizer, ArrayTokens(held_out_ids))
    mo.md(f"""
    On held-out stories the loss falls from **{before.loss:.3f}** to **{
        after.loss:.3f}** nats per token, or
    {after.bits_per_byte:.3f} bits per byte. The best n-gram model, with n = {best_n}, has {
        rival:.3f}; a trigram model,
    with n = 3, has {by_n[3]:.3f}. {
        "The network beats both."
        if after.loss < rival
        else "The network does not beat the best n-gram model: try more steps."
    }

    The perplexity, e to the power of the loss, is the number of equally likely tokens with the same loss:
    {before.perplexity:,.0f} before, **{after.perplexity:.0f}** now.
    """)
    return (after,)


@app.cell
def _(mo):
    temperature = mo.ui.slider(0.0, 1.5, step=0.1, value=0.7, label="temperature", show_value=True)
    prompt = mo.ui.text(value="One morning,", label="prompt")
    mo.vstack(
        [
            mo.md("""
    ## 5. Sentences

    To generate text, sample a next token from the probabilities, append it, and repeat. The temperature divides the logits
    first: 0 always takes the likeliest token, above 1 unlikely tokens are sampled more often.
    """),
            prompt,
            temperature,
        ]
    )
    return prompt, temperature


@app.cell
def _(LanguageModel, SavedModel, decoder, next_tokens, prompt, start, temperature, tokenizer):
    def write(network):
        model = LanguageModel(SavedModel(network, tokenizer))
        return prompt.value + model.generate(
            prompt.value, max_tokens=60, temperature=temperature.value, seed=3
        )

    untrained, trained = write(start), write(decoder)
    print("random weights:", untrained, "\n\nafter training:", trained)
    print(
        "\nafter 'The little':",
        ", ".join(f"{piece!r} {100 * p:.0f}%" for piece, p in next_tokens(decoder, "The little")),
    )
    return trained, untrained


@app.cell
def _(mo):
    mo.md("""
    ## Where to go from here

    `scratchlm quickstart` does the same with a larger model, evaluates it, and fine-tunes it to answer questions.
    `scratchlm pretrain` trains on your own text. Each file behind this page can be read in one sitting:
    `tokens/bpe.py`, `model/attention/`, `model/decoder.py`, `training/loop.py`, `generation/sampling.py`.
    """)
    return


if __name__ == "__main__":
    app.run()
