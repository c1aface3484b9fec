"""Chapter 3: attention. Open it with: marimo edit notes/03_attention.py"""

import marimo

app = marimo.App(width="medium", app_title="Attention")


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # Attention

    *She* opened the letter. Who did? No vector of the word "she" can know. The answer stands somewhere else in the text, and
    somebody has to fetch it. **Attention** is the part of a transformer that fetches. All other parts look at one position alone.

    Here you build it in five steps: a mean, a mean with weights, weights that ask and answer, a mask, and several heads. Each step
    repairs a fault of the one before. Then you wire two heads together by hand, without any training, and they do something that
    people first took for magic.

    ⭐ **Guess before you look.** Set `guess_1` and the others, such as `guess_1 = 0.5`, and only then does a result appear. Write
    `"skip"` where you would rather not. You need Python, and what [chapter 1](01_what_a_language_model_is.ipynb) said of tokens, loss
    and softmax. It takes a minute to compute. The signs mean the same on [every page](README.md#signs).
    """)
    return


@app.cell
def _():
    import math

    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional as F

    from scratchlm import storyworld
    from scratchlm.lab.course.guessing import guessed
    from scratchlm.lab.harness.plots import STYLE
    from scratchlm.model import minimal
    from scratchlm.model.attention.scaled_dot_product import fused_attention, naive_attention

    plt.rcParams.update(STYLE | {"figure.figsize": (7, 3.2), "figure.constrained_layout.use": True})
    torch.set_printoptions(precision=2, sci_mode=False)
    return (
        F,
        fused_attention,
        guessed,
        math,
        minimal,
        mo,
        naive_attention,
        nn,
        np,
        plt,
        storyworld,
        torch,
    )


@app.cell
def _(plt):
    def pattern_map(axes, weights, labels, title):
        """Draw attention weights: a row for each word, dark where it takes much from the word of the column."""
        axes.imshow(weights.numpy(), cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(labels)), labels, rotation=90)
        axes.set_yticks(range(len(labels)), labels)
        axes.grid(visible=False)
        axes.set(xlabel="takes from", ylabel="word", title=title)

    plt.close("all")
    return (pattern_map,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 1. The mean of everything so far

    Take six words. Each is a **vector**, a row of numbers. In a real model training finds these numbers. Here we write
    them, so that you can read them: five **channels**, one for each kind of word.

    The simplest way to give a word its context: add the mean of all words up to it. For the fourth word that is the mean of four
    vectors. A loop does it. But there is a better way to write it, and the whole chapter hangs on it: a **weighted sum is a matrix
    product**. Row 4 of the weights says how much word 4 takes from each word. Row by row, times the vectors, gives all means at once.

    🎯 Your guess: in row 4, how large is the weight of the first word?
    """)
    return


@app.cell
def _():
    guess_1 = None  # a number between 0 and 1
    return (guess_1,)


@app.cell
def _(torch):
    words = ["Nora", "fed", "the", "fox", "and", "she"]
    channels = ["name", "verb", "animal", "pronoun", "other"]
    kinds = ["name", "verb", "other", "animal", "other", "pronoun"]
    vectors = torch.zeros(6, 5)  # (T, D): six positions, five channels
    for _place, _kind in enumerate(kinds):
        vectors[_place, channels.index(_kind)] = 1.0

    by_loop = torch.stack([vectors[: place + 1].mean(0) for place in range(6)])

    mean_weights = torch.ones(6, 6).tril()  # 1 for itself and each earlier word, 0 for later ones
    mean_weights = mean_weights / mean_weights.sum(-1, keepdim=True)  # each row sums to 1
    by_product = mean_weights @ vectors  # (T, T) times (T, D) is (T, D)
    loop_gap = (by_loop - by_product).abs().max().item()
    assert loop_gap < 1e-6
    print("The six words, a row each; the channels are", ", ".join(channels))
    print(vectors)
    print("The loop and the matrix product give the same means.")
    return by_product, channels, loop_gap, mean_weights, vectors, words


@app.cell
def _(by_product, guess_1, guessed, mean_weights):
    if guessed(guess_1, mean_weights[3, 0].item(), "for the first word"):
        print("All weights:")
        print(mean_weights)
        print("What the six words receive:")
        print(by_product)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Look at the last row of what they receive: it is a mean of all six. "She" now contains a little of a name, a verb, an animal. That is context, but a soup. The mean
    takes as much from "the" as from "Nora". ⚠️ It also forgets the order: *the fox fed Nora* gives the same soup.

    We want weights that depend on the words. Each row must still sum to 1, so that the result stays a mean. The **softmax** makes such a row from any
    scores: it raises *e* to the power of each, and divides by their sum. ⭐ If all scores are equal, softmax gives equal weights: the mean is attention
    that has no opinion.

    ## 2. Scores from dot products

    Which words belong together? Multiply two vectors number by number, and add up: the **dot product**. It is large where both are large in the
    same channels. One matrix product, `vectors @ vectors.T`, gives the score of each pair.

    🎯 Your guess: with these scores, and all six words in sight, what share does "she" take from itself?
    """)
    return


@app.cell
def _():
    guess_2 = None  # a number between 0 and 1
    return (guess_2,)


@app.cell
def _(torch, vectors):
    similarity = vectors @ vectors.T  # (T, D) times (D, T) is (T, T)
    _exponentials = torch.exp(similarity)
    similar_weights = _exponentials / _exponentials.sum(-1, keepdim=True)  # softmax, written out
    assert torch.allclose(similar_weights, similarity.softmax(-1))
    print("Softmax by hand is the same as torch's.")
    return similar_weights, similarity


@app.cell
def _(guess_2, guessed, pattern_map, plt, similar_weights, similarity, words):
    if guessed(guess_2, similar_weights[5, 5].item(), 'from itself, the word "she"'):
        _, (_left, _right) = plt.subplots(1, 2, figsize=(7, 3.6))
        pattern_map(_left, similarity, words, "scores")
        pattern_map(_right, similar_weights, words, "weights")
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Two things are wrong. The weights are almost equal: scores of 1 and 0 differ too little for the softmax. And each word likes
    its own kind best, most of all itself. "She" does not want another "she". She wants a name.

    ## 3. Ask, answer, hand over

    So each word gets three vectors, made from its own by three matrices:

    - the **query**: what it looks for;
    - the **key**: what it can be found by;
    - the **value**: what it hands over when it is found.

    A score is now the dot product of one word's query and another word's key. It need not be symmetric: a pronoun can look for a name although no name looks for a
    pronoun. In training all three matrices are learned. We write them: the query matrix turns *pronoun* into *I look for a name*, four times as loud. Keys
    and values stay as the words are. The other words look for nothing. All their scores are 0, and they take the mean.

    🎯 Your guess: what share does "she" take from "Nora" now? Its score is 4, and those of the other five words are 0.
    """)
    return


@app.cell
def _(mo):
    loudness = mo.ui.slider(0, 12, step=1, value=4, label="how loud the query asks")
    guess_3 = None  # a number between 0 and 1
    loudness
    return guess_3, loudness


@app.cell
def _(channels, loudness, torch, vectors):
    query_matrix = torch.zeros(5, 5)
    query_matrix[channels.index("pronoun"), channels.index("name")] = loudness.value
    key_matrix, value_matrix = torch.eye(5), torch.eye(5)
    query, key, value = vectors @ query_matrix, vectors @ key_matrix, vectors @ value_matrix
    asked_weights = (query @ key.T).softmax(-1)
    received = asked_weights @ value
    return asked_weights, key, query, received, value


@app.cell
def _(asked_weights, channels, guess_3, guessed, pattern_map, plt, received, words):
    if guessed(guess_3, asked_weights[5, 0].item(), 'from "Nora"'):
        _row = [
            f"{amount:.2f} {name}"
            for amount, name in zip(received[5].tolist(), channels, strict=True)
        ]
        print('"She" receives:', ", ".join(_row))
        _, _axes = plt.subplots(figsize=(4.2, 3.8))
        pattern_map(_axes, asked_weights, words, '"She" found Nora')
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    In marimo, drag the slider above the guess. At 0 she takes the mean, at 12 Nora alone. In Jupyter, change `value=4` and run again. Softmax is a soft choice: the louder the question, the
    harder the choice. And because it is soft, it has a slope everywhere, and training can improve the matrices step by step.

    💡 Do not mix up two words. **Weights** are the parameters, here the three matrices. They are the same for each text. **Attention weights** are calculated anew for each
    text, from its words. Nobody stores them.

    ## 4. Why divide by a root?

    Look up attention in any paper, and the scores are divided by the square root of the number of channels, √*d*. What for?

    Queries and keys of a fresh model are random numbers of size about 1. A dot product adds up *d* products of these. Random signs cancel in
    part, so the sum does not grow like *d*.

    🎯 Your guess: with 256 channels, how large is a typical score, measured by its standard deviation?
    """)
    return


@app.cell
def _():
    guess_4 = None  # a number
    return (guess_4,)


@app.cell
def _(np, torch):
    def random_scores(width, rows=2000, positions=16):
        """Return the scores of random queries, each with `positions` random keys: (rows, positions)."""
        generator = torch.Generator().manual_seed(0)
        queries = torch.randn(rows, 1, width, generator=generator)
        keys = torch.randn(rows, positions, width, generator=generator)
        return (queries @ keys.mT).squeeze(1)

    widths = [1, 4, 16, 64, 256]
    typical = [random_scores(width).std().item() for width in widths]

    def sharpness(scores):
        """Return the largest attention weight, and how strongly its scores still move it; means over the rows."""
        top = scores.softmax(-1).max(-1).values  # (rows,)
        return top.mean().item(), (
            top * (1 - top)
        ).mean().item()  # the slope of softmax is p (1 - p)

    raw = np.array([sharpness(random_scores(width)) for width in widths])
    scaled = np.array([sharpness(random_scores(width) / width**0.5) for width in widths])
    return raw, scaled, typical, widths


@app.cell
def _(guess_4, guessed, plt, raw, scaled, typical, widths):
    if guessed(guess_4, typical[-1], "for 256 channels"):
        print(
            "Of",
            ", ".join(
                f"{width} channels {size:.1f}" for width, size in zip(widths, typical, strict=True)
            ),
        )
        _, _axes = plt.subplots(1, 2, figsize=(7, 3))
        for _at, _title in enumerate(["largest of 16 weights", "its slope, which training needs"]):
            _axes[_at].plot(widths, raw[:, _at], marker="o", label="as it is")
            _axes[_at].plot(widths, scaled[:, _at], marker="o", label="divided by the root")
            _axes[_at].set(xscale="log", xlabel="channels", title=_title)
            _axes[_at].set_ylim(bottom=0)
        _axes[0].legend()
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    A typical score is √*d*: sixteen, for 256 channels. Softmax of such scores is nearly all or nothing. A fresh model would then fix its eyes on
    one random word. Worse, its slope is nearly gone, and without a slope nothing is learned. ⭐ Dividing by √*d* keeps scores near 1, for any width.

    ## 5. The mask

    Now we train. For each position the model must predict the *next* token. It reads 64 tokens at once, and answers all 64 questions in one pass. That is
    why transformers train so fast.

    There is a catch. The answer to the first question is the second token, and that stands in plain sight. A model with attention can learn to look one place
    ahead, and copy. The **causal mask** forbids it: scores of later positions are set to minus infinity *before* the softmax. Since *e* to that power is 0, they get nothing, and
    the others still sum to 1.

    We train two small models on the stories of chapter 1, 400 steps each. They differ in the mask alone. An honest model of this size ends above 2 nats per token.

    🎯 Your guess: what is the loss in training of the model without a mask?
    """)
    return


@app.cell
def _():
    guess_5 = None  # nats per token
    return (guess_5,)


@app.cell
def _(math, minimal, nn, storyworld, torch):
    def masked_weights(query, key, causal=True):
        """Return attention weights: (..., T, d) twice to (..., T, T)."""
        scores = query @ key.mT / math.sqrt(query.size(-1))
        if causal:
            later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)  # above the diagonal
            scores = scores.masked_fill(later, -torch.inf)
        return scores.softmax(-1)

    class OneHead(nn.Module):
        """Token and place become a vector; one head of attention adds what it fetched; then logits."""

        def __init__(self, vocabulary, width=64, context=64):
            super().__init__()
            self.token, self.place = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
            self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
            self.output = nn.Linear(width, vocabulary)

        def forward(self, ids, causal):
            x = self.token(ids) + self.place.weight[: ids.size(1)]  # (B, T, D)
            weights = masked_weights(self.query(x), self.key(x), causal)
            return self.output(x + weights @ self.value(x))  # (B, T, V)

    _text = "\n".join(storyworld.stories(120_000, seed=2))
    tokenizer = minimal.Tokenizer(_text, 400)
    tokens = torch.tensor(tokenizer.encode(_text))
    train, test = tokens[:-4000], tokens[-4000:]

    def loss_on(model, rows, causal):
        """Return the mean loss of each next token in rows (B, T + 1), in nats."""
        logits = model(rows[:, :-1], causal)
        return nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())

    def trained(causal, steps=400):
        """Train a model, and return it with its losses."""
        torch.manual_seed(0)
        model, losses = OneHead(len(tokenizer.bytes)), []
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        for _ in range(steps):
            starts = torch.randint(len(train) - 64, (32,))
            loss = loss_on(model, minimal.windows(train, starts, 64), causal)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return model, losses

    honest, honest_losses = trained(causal=True)
    cheat, cheat_losses = trained(causal=False)
    _rows = minimal.windows(test, torch.arange(0, len(test) - 65, 64), 64)
    with torch.no_grad():
        honest_test = loss_on(honest, _rows, causal=True).item()
        cheat_test = loss_on(
            cheat, _rows, causal=True
        ).item()  # it writes: later tokens are not there yet
        cheat_weights = masked_weights(
            *(
                part(cheat.token(_rows[:1, :24]) + cheat.place.weight[:24])
                for part in (cheat.query, cheat.key)
            ),
            False,
        )[0]
    untrained = math.log(len(tokenizer.bytes))
    print("Two models are trained.")
    return (
        cheat_losses, cheat_test, cheat_weights, honest_losses, honest_test, masked_weights, test, tokenizer, untrained,
    )  # fmt: skip


@app.cell
def _(
    cheat_losses,
    cheat_test,
    cheat_weights,
    guess_5,
    guessed,
    honest_losses,
    honest_test,
    plt,
    untrained,
):
    if guessed(guess_5, sum(cheat_losses[-20:]) / 20, "nats per token, without a mask"):
        print("When they write, no later token is there. Then, in nats per token:")
        print(
            f"  with the mask {honest_test:.2f}, without {cheat_test:.2f}; a guess among all tokens has {untrained:.2f}"
        )
        _, (_left, _right) = plt.subplots(1, 2, figsize=(7, 3.2))
        _left.plot(honest_losses, marker="", label="with the mask")
        _left.plot(cheat_losses, marker="", label="without")
        _left.set(xlabel="step", ylabel="loss in training (nats)", title="Too good to be true")
        _left.legend()
        _right.imshow(cheat_weights.numpy(), cmap="Blues", vmin=0, vmax=1)
        _right.grid(visible=False)
        _right.set(xlabel="takes from", ylabel="place", title="It looks one place ahead")
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ⚠️ If a loss of yours falls to nearly nothing within minutes, do not celebrate. Look for the leak. The model without a mask has the better number in training, and is
    useless where it counts: when it writes, there is no later token to copy.

    Here lies the whole difference between a GPT and BERT. BERT has no mask and sees both sides. So it cannot be trained to predict the next token. It
    fills in blanked words instead.

    ## 6. Several heads

    One head makes one choice per word. But "she" may want a name *and* the verb of the sentence. So a model has several **heads**: each has its own queries, keys and values, and so
    its own opinion. The results are put beside each other, and an output matrix mixes them.

    The trick is in the width. Four heads do not get 96 channels each. They share them, and each works with 24.

    🎯 Your guess: attention of width 96 with four heads has how many times the parameters of the same with one head?
    """)
    return


@app.cell
def _():
    guess_6 = None  # times
    return (guess_6,)


@app.cell
def _(F, fused_attention, masked_weights, minimal, naive_attention, torch):
    torch.manual_seed(0)
    _x = torch.randn(2, 10, 96)  # (B, T, D): two texts, ten tokens, 96 channels
    block = minimal.Block(96, 4)
    counts = {
        heads: sum(
            weight.numel()
            for name, weight in minimal.Block(96, heads).named_parameters()
            if name.split(".")[0] in ("query", "key", "value", "output")
        )
        for heads in (1, 4)
    }
    shapes = {"x": _x.shape}
    with torch.no_grad():
        _query, _key, _value = block.query(_x), block.key(_x), block.value(_x)
        shapes["queries, keys and values, each"] = _query.shape
        # Cut the channels into heads, then let heads come before positions.
        _q, _k, _v = (part.view(2, 10, 4, 24).transpose(1, 2) for part in (_query, _key, _value))
        shapes["the same, by head"] = _q.shape
        _weights = masked_weights(_q, _k)
        shapes["attention weights"] = _weights.shape
        _mixed = _weights @ _v
        shapes["what each head fetched"] = _mixed.shape
        _joined = _mixed.transpose(1, 2).reshape(2, 10, 96)
        shapes["heads beside each other"] = _joined.shape
        by_hand = block.output(_joined)
        shapes["through the output matrix"] = by_hand.shape
        gaps = {
            "minimal.py": (by_hand - block.attention(_x)).abs().max().item(),
            "the package, every step written out": (
                _mixed - naive_attention(_q, _k, _v, None, causal=True)
            )
            .abs()
            .max()
            .item(),
            "the package, fused": (_mixed - fused_attention(_q, _k, _v, None, causal=True))
            .abs()
            .max()
            .item(),
            "torch": (_mixed - F.scaled_dot_product_attention(_q, _k, _v, is_causal=True))
            .abs()
            .max()
            .item(),
        }
    assert max(gaps.values()) < 1e-5
    for _name, _shape in shapes.items():
        print(f"{_name:<32} {tuple(_shape)}")
    print("The same numbers come from:", "; ".join(gaps))
    return counts, gaps, shapes


@app.cell
def _(counts, guess_6, guessed):
    if guessed(
        guess_6, counts[4] / counts[1], f"times: {counts[1]:,} and {counts[4]:,} parameters"
    ):
        print(
            "Each head's matrices are narrower. All of them together are one matrix of the same size."
        )
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Read the shapes once more, they are half of the craft: **B** texts, **T** positions, **H** heads, **D** channels, *d* = D / H in a head. ⚠️ The classic error is to reshape `(B, T, D)`
    to `(B, H, T, d)` in one go. The shape is right, and the numbers stand in the wrong places. First cut the channels, then swap two axes.

    More heads are not always better. In [one of our experiments](findings/twins.md), a single wide head did better than four narrow ones. Heads pay when different things must be fetched at once.

    ## 7. Two heads, wired by hand

    Now the magic. Give a language model a random text that no one ever wrote, and then the same again: `k q a m ... k q a`. What follows? You know it at once: `m`, as the first time. Models
    can do that too, with words they never saw together. How?

    Two heads, one in each of two layers, are enough. **The first head** always looks at the place before. It writes into each position which token stood there. **The second head** of the
    last `a` asks: *where was a token that had an `a` before it?* That is the `m`. It takes the value of that place, and says `m`.

    Such a pair is called an **induction head**. We wire one, with no training at all. A token is a vector with a single 1.

    🎯 Your guess: 40 random tokens of 50 kinds, all different, and the same 40 again. Of the predictions in the second half, how many percent are right?
    """)
    return


@app.cell
def _():
    guess_7 = None  # percent
    return (guess_7,)


@app.cell
def _(F, masked_weights, torch):
    def wired(ids, kinds=50, loud=30.0, first_head=True):
        """Return logits (T, V) and the weights (T, T) of the second head; its text is `ids`."""
        time = len(ids)
        token, place = F.one_hot(ids, kinds).float(), torch.eye(time)
        # Head 1: the query of place t is the key of place t - 1. Its value is the token.
        query = loud * time**0.5 * torch.cat([place[:1], place[:-1]])
        before = masked_weights(query, place) @ token  # (T, V): the token before each place
        if not first_head:
            before = torch.zeros_like(before)
        # Head 2: I am an `a`. Whose token before was an `a`? Hand over your token.
        weights = masked_weights(loud * kinds**0.5 * token, before)
        return weights @ token, weights

    def right_in_second_half(first_head=True, texts=50, length=40):
        """Return how often the likeliest next token is the right one, where the text repeats."""
        right = 0
        for seed in range(texts):
            generator = torch.Generator().manual_seed(seed)
            once = torch.randperm(50, generator=generator)[:length]
            ids = torch.cat([once, once])
            logits, _ = wired(ids, first_head=first_head)
            # Judge places `length` to the last but one: each has a next token, and saw its token before.
            right += (logits[length:-1].argmax(-1) == ids[length + 1 :]).sum().item()
        return 100 * right / (texts * (length - 1))

    induction, without_first = right_in_second_half(), right_in_second_half(first_head=False)
    _once = torch.randperm(50, generator=torch.Generator().manual_seed(1))[:20]
    _, stripe = wired(torch.cat([_once, _once]))
    print("Fifty random texts were read, with both heads and without the first.")
    return induction, stripe, without_first


@app.cell
def _(guess_7, guessed, induction, plt, stripe, without_first):
    if guessed(guess_7, induction, "percent right in the second half"):
        print(f"Without the first head: {without_first:.1f} percent.")
        _, _axes = plt.subplots(figsize=(4.6, 4.2))
        _axes.imshow(stripe.numpy(), cmap="Blues", vmin=0, vmax=1)
        _axes.axhline(19.5, color="C5", linestyle=":")
        _axes.grid(visible=False)
        _axes.set(xlabel="takes from place", ylabel="place; the text repeats below the line")
        _axes.set_title("Each token looks at what followed it the first time")
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    That stripe is the picture to keep. (And the missing percent? The very first token has nothing before it, so our first head sends it to itself.) ⭐ No weight knows this text. Two simple steps, *what was before me* and *where was that the case already*, put together give a model that learns from its
    own prompt. And it takes two layers: the second head asks for what the first one wrote.

    Do real models do this, with no hand to wire them? Yes, if their text rewards it. In [our experiment](findings/induction.md) such heads form within a few hundred steps. Without the best one, copying dies. One layer
    cannot do it. ⚠️ Those models read books in which we had said each phrase twice; plain books gave no such head at that size.

    ## 8. What it costs

    Each word scores each other word: **T²** scores, for each head and each layer.

    🎯 Your guess: a text ten times as long needs how many times as many scores?
    """)
    return


@app.cell
def _():
    guess_8 = None  # times
    return (guess_8,)


@app.cell
def _(guess_8, guessed, torch):
    def score_count(length):
        """Return the number of scores of one head without a mask."""
        query, key = torch.zeros(length, 8), torch.zeros(length, 8)
        return (query @ key.T).numel()

    times = score_count(2000) / score_count(200)
    guessed(guess_8, times, "times as many")
    return (times,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    That is the price of looking everywhere, and the reason for much research: windows, shared keys, other memories ([measured here](findings/attention-kinds.md)).

    In writing there is a relief. The mask looks back only, so a new token changes nothing in the keys and values of earlier ones. They can be kept: this is the **cache**, and it is why a chat program needs memory that grows with the talk. The new token
    then needs one row of scores instead of all of them. Let us see that it is the same:
    """)
    return


@app.cell
def _(masked_weights, torch):
    torch.manual_seed(0)
    _q, _k, _v = torch.randn(3, 12, 24)  # twelve positions, 24 channels
    _all_rows = masked_weights(_q, _k) @ _v
    # The last position alone: it may see everything that is there, so it needs no mask.
    _last_row = masked_weights(_q[-1:], _k, causal=False) @ _v
    cache_gap = (_all_rows[-1] - _last_row[0]).abs().max().item()
    assert cache_gap < 1e-6
    print("The last row alone gives the same numbers as the last of all rows.")
    return (cache_gap,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 9. What to keep

    - ⭐ Attention is a weighted mean of values. The weights are a softmax of scores, and a score is a query times a key.
    - The query is what a word looks for, the key what it is found by, the value what it hands over.
    - 🔥 Dividing by √*d* keeps the softmax soft, so that there is a slope to learn from.
    - 🔥 The mask comes before the softmax. Without it a model copies the answer in training, and is useless in writing.
    - Heads share the width. Four heads cost no more parameters than one.
    - 💡 Two heads in two layers can copy from the prompt, without any knowledge of the text.

    ⚠️ One thing was passed over: how does a model know the *place* of a word? In section 5 each place had a vector of its own, which was added. Others turn queries and keys by an angle that
    grows with the place. Chapter 4 has both.

    ## 10. Exercises

    Four functions of a GPT of your own, which you will complete in the next chapters. In a terminal:

    ```
    scratchlm learn start 3      # writes gpt.py
    scratchlm learn check 3.1    # says what is right, or names the mistake; --hint helps
    ```

    And look into a trained model: `scratchlm inspect MODEL "PROMPT" --page page.html` draws each head, and lets you switch it off. The [cards](cards/03-attention.md) help to remember, with
    `scratchlm quiz --chapter 3`.
    """)
    return


if __name__ == "__main__":
    app.run()
