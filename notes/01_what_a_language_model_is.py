"""Chapter 1: what a language model is. Open it with: marimo edit notes/01_what_a_language_model_is.py"""

import marimo

app = marimo.App(width="medium", app_title="What a language model is")


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # What a language model is

    A **language model** reads a text and gives a probability to everything that could come next. That is all it does.
    Writing, answering and translating follow from using it repeatedly: choose one of the likely next pieces, append it to
    the text, and ask again. Section 2 does this.

    The chapter first builds a model by **counting**. It then comes to the same probabilities step by step, by **gradient
    descent**. Last, it trains a **network** in this way. With enough training text the network overtakes counting, and section
    7 tests why. Where plain code is short, it comes first, and the package's own function must then give the same result. The
    package is `scratchlm`, which this page belongs to.

    Before each result the page asks for **your guess**. Set the variable below the question, for example `guess_1 = 30`,
    and the result says how far off you were. You may also leave it at `None`.

    The page needs no download. It computes every number from stories that the package generates. One processor core needs
    about eight minutes for it. You can skip the first two code cells, which only prepare what the page uses.
    """)
    return


@app.cell
def _():
    import math
    import random
    import time
    from collections import Counter, defaultdict
    from dataclasses import replace

    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    import torch

    from scratchlm import storyworld
    from scratchlm.base.statistics import wilson_interval
    from scratchlm.classic.bayes import NaiveBayes
    from scratchlm.classic.ngram_fast import KneserNey
    from scratchlm.classic.smoothing import AddK
    from scratchlm.data.batches import ArrayTokens, Batch, WindowBatches
    from scratchlm.evaluation.bits import held_out_loss
    from scratchlm.model.decoder import build_decoder
    from scratchlm.model.presets import qwen3_shaped
    from scratchlm.tokens.base import END_OF_TEXT
    from scratchlm.tokens.fast import FastBPE
    from scratchlm.training.config import AdamWConfig, MuonConfig, TrainingConfig
    from scratchlm.training.loop import Loop
    from scratchlm.training.loss import next_token_loss

    return (
        AdamWConfig,
        AddK,
        ArrayTokens,
        Batch,
        Counter,
        END_OF_TEXT,
        FastBPE,
        KneserNey,
        Loop,
        MuonConfig,
        NaiveBayes,
        TrainingConfig,
        WindowBatches,
        build_decoder,
        defaultdict,
        held_out_loss,
        math,
        mo,
        next_token_loss,
        np,
        plt,
        qwen3_shaped,
        random,
        replace,
        storyworld,
        time,
        torch,
        wilson_interval,
    )


@app.cell
def _(plt):
    plt.rcParams.update({"figure.figsize": (7, 3.4), "figure.constrained_layout.use": True})
    plt.rcParams.update({"axes.titlesize": 9.5, "axes.titlelocation": "left"})
    plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    plt.rcParams.update({"legend.frameon": False})

    def reveal(result, guess, unit):
        """Print a result, and how far a guess was from it if there is one."""
        print(f"Result: {result:.4g} {unit}.", end=" ")
        off = None if guess is None else abs(guess - result)
        print(
            "You set no guess." if off is None else f"Your guess was {guess:g}, off by {off:.2g}."
        )

    return (reveal,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 1. Text and tokens

    The text is a collection of short generated stories about one small world. Each person there has a home, a job and a
    favourite colour, and no story contradicts another.

    The stories are split into three parts. The **training** stories are what a model learns from. The **validation**
    stories decide between settings. The **test** stories serve for the final comparisons and for examples; no setting is
    chosen with them.

    A model reads **tokens**, not letters. A token is a frequent piece of text, often a word with the space before it. The
    **tokenizer** cuts text into tokens and numbers them. The set of all tokens is the **vocabulary**. A special end token
    closes each story.

    The vocabulary has about 2,000 tokens. A computer stores text as **bytes**, numbers from 0 to 255; an English letter is one
    byte. Every byte is a token, so that any text can be cut. Some tokens never occur in these stories on their own: bytes
    that no story needs, and parts of longer tokens. In the figure below, each labelled mark on an axis is ten times the one
    before.

    Your guess: what percentage of the training text do the 100 most frequent tokens make up?
    """)
    return


@app.cell
def _():
    guess_1 = None  # percent, for example 30
    return (guess_1,)


@app.cell
def _(END_OF_TEXT, FastBPE, np, random, storyworld):
    # About 2.2 million bytes of stories: 60 for validation, 735 for training; section 4 trains on more of them.
    stories = list(storyworld.stories(2_200_000, seed=2))
    random.Random(0).shuffle(stories)
    validation_stories, training_stories = stories[:60], stories[140:875]
    # The test stories have a seed of their own: no setting of this page was ever tried on them.
    _others = storyworld.stories(100_000, seed=3)
    test_stories = [story for story in _others if story not in set(stories)][:80]
    tokenizer = FastBPE.train(training_stories, 2000)
    end = tokenizer.specials[END_OF_TEXT]
    size = tokenizer.vocabulary_size

    def encode(texts):
        """Return the tokens of all texts in a row, an end token before the first and after each."""
        row = [end]
        for tokens in tokenizer.encode_batch(texts):
            row += [*tokens, end]
        return np.array(row, np.int64)

    def piece(token):
        """Return the text of a token."""
        return tokenizer.token_bytes(token).decode("utf-8", "replace")

    train, validation = encode(training_stories), encode(validation_stories)
    test = encode(test_stories)
    validation_bytes = sum(len(text.encode()) for text in validation_stories)
    test_bytes = sum(len(text.encode()) for text in test_stories)
    print(f"vocabulary: {size:,} tokens")
    print(f"training text: {sum(map(len, training_stories)):,} characters, {len(train):,} tokens")
    print(f"validation text: {len(validation):,} tokens; test text: {len(test):,} tokens")
    print("The beginning of a test story, with | between tokens:")
    print("|".join(piece(token) for token in test[1:40]))
    return (
        encode,
        end,
        piece,
        size,
        stories,
        test,
        test_bytes,
        test_stories,
        tokenizer,
        train,
        training_stories,
        validation,
        validation_bytes,
    )


@app.cell
def _(guess_1, np, plt, reveal, size, train):
    # How often each token occurs, the most frequent first.
    by_rank = np.sort(np.bincount(train, minlength=size))[::-1]
    most_frequent = 100 * by_rank[:100].sum() / len(train)
    reveal(most_frequent, guess_1, "percent of the text")
    _, _axes = plt.subplots()
    _seen = int((by_rank > 0).sum())
    _axes.loglog(np.arange(1, _seen + 1), by_rank[:_seen])
    _axes.axvline(100, color="grey", linestyle=":", label="the 100 most frequent tokens")
    _axes.set(xlabel="rank of the token, the most frequent first")
    _axes.set(ylabel="occurrences in the training text")
    _axes.set_title(
        f"Figure 1. The 100 most frequent tokens make up {most_frequent:.0f}% of the training text.\n"
        f"Half of the vocabulary occurs at most {by_rank[size // 2]} times each, "
        f"{size - _seen} tokens never."
    )
    _axes.legend()
    plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 2. A model by counting

    Count how often token B follows token A. Divide by how often A occurs with a token after it. The result is the probability of B
    after A. This is a **bigram** model: it predicts the next token from one earlier token.

    A pair that never occurred would have probability zero, and so would every text that contains it. **Add-k smoothing**
    adds a small number `k` to every count, so the probability becomes

    `(count(A, B) + k) / (count(A) + k * size of the vocabulary)`

    With 2,000 tokens even `k = 0.1` adds 200 to the count of *each* earlier token A, more than most tokens occur in all. So `k`
    must be much smaller. Section 3 compares some values.

    Your guess: what probability, in percent, does the most frequent token after " looked" have?
    """)
    return


@app.cell
def _():
    guess_2 = None  # percent
    return (guess_2,)


@app.cell
def _(
    AddK,
    Counter,
    defaultdict,
    guess_2,
    piece,
    plt,
    reveal,
    size,
    tokenizer,
    train,
):
    k = 0.003
    followers = defaultdict(Counter)
    # Each token together with the token after it.
    for _before, _after in zip(train[:-1].tolist(), train[1:].tolist(), strict=True):
        followers[_before][_after] += 1

    def probability(token, before):
        """Return the probability of a token after another one, from the counts."""
        return (followers[before][token] + k) / (followers[before].total() + k * size)

    looked = tokenizer.encode(" looked")
    assert len(looked) == 1, "this part needs a word that is a single token"
    looked = looked[0]
    _frequent = followers[looked].most_common(8)
    best = [(piece(token), probability(token, looked)) for token, _ in _frequent]
    together = sum(probability(token, looked) for token in range(size))
    reveal(100 * best[0][1], guess_2, f"percent, for {best[0][0]!r} after ' looked'")
    print(f"' looked' occurs {followers[looked].total()} times.")
    print(f"The probabilities of all {size:,} tokens after it sum to {together:.6f}.")

    # The package's AddK model must give the same numbers from the same tokens.
    package = AddK.fit([train], size, 2, k=k)  # 2: a bigram model
    largest = max(
        abs(probability(token, looked) - package.probability(token, [looked]))
        for token in range(size)
    )
    assert largest < 1e-12, "the package's model must give the same probabilities"
    print("The package's AddK model gives the same probabilities, up to rounding.")

    _, _axes = plt.subplots()
    _axes.bar([repr(text) for text, _ in best], [100 * p for _, p in best])
    _chance = f"every token equally likely: {100 / size:.2f}%"
    _axes.axhline(100 / size, color="black", linestyle=":", label=_chance)
    _axes.set(xlabel="next token", ylabel="probability (%)")
    _axes.set_title(
        f"Figure 2. After ' looked', {len(best)} of the {size:,} tokens get "
        f"{100 * sum(p for _, p in best):.0f}% of the probability."
    )
    _axes.legend()
    plt.show()
    return followers, looked, package, probability


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    How does a model write? Draw the next token at random: a token with probability 0.25 is drawn in a quarter of the cases.
    Append it, then ask for the next one. This is called **sampling**. The bigram model knows one earlier token only, and its text shows it:
    """)
    return


@app.cell
def _(end, np, package, piece):
    def sampled(distribution, count=40):
        """Return a text whose tokens are drawn one by one; `distribution` maps tokens to probabilities."""
        draw, tokens = np.random.default_rng(1), [end]
        for _ in range(count):
            probabilities = distribution(tokens).astype(np.float64)
            probabilities /= probabilities.sum()  # rounding can leave the sum a little beside 1
            tokens.append(int(draw.choice(len(probabilities), p=probabilities)))
        return "".join("(end) " if token == end else piece(token) for token in tokens[1:])

    print(sampled(lambda tokens: package.distribution(tokens[-1:])))
    return (sampled,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 3. The loss of the bigram model

    A model is good if it gave a high probability to what really came next. Take the logarithm of that probability and change
    its sign. The result is the **loss** of this token: zero if the model gave it
    probability 1, larger the more surprising the token.
    The loss of a text is the mean over its tokens. It is also called *cross-entropy*.

    With the natural logarithm the unit is the **nat**, with base 2 the **bit**. Add the bits of all tokens of a text, divide
    by its bytes, and you get **bits per byte**. The number of bytes does not depend on the tokenizer. So models with
    different tokenizers can be compared in this unit.

    Measure the loss on text that was *not* used for training, here the validation stories. A large enough model could learn
    its training text by heart and have a loss near zero there. The validation stories also choose `k`, so the loss of the
    best `k` is slightly too low.

    Your guess: with all tokens equally likely, the loss is about 3 bits per byte. What is it for the bigram model?
    """)
    return


@app.cell
def _():
    guess_3 = None  # bits per byte
    return (guess_3,)


@app.cell
def _(
    AddK,
    end,
    followers,
    guess_3,
    math,
    package,
    piece,
    plt,
    probability,
    reveal,
    size,
    train,
    validation,
    validation_bytes,
):
    _pairs = zip(validation[:-1].tolist(), validation[1:].tolist(), strict=True)
    nats = [-math.log(probability(token, before)) for before, token in _pairs]
    plain_nats = sum(nats)
    # Without the first token: nothing comes before it.
    package_nats = -float(package.token_log_probabilities(validation)[1:].sum())
    bigram_bits = plain_nats / math.log(2) / validation_bytes
    uniform_bits = len(nats) * math.log2(size) / validation_bytes
    reveal(bigram_bits, guess_3, f"bits per byte (every token equally likely: {uniform_bits:.3f})")
    print(
        f"Nats per token: by hand {plain_nats / len(nats):.4f}, "
        f"by the package {package_nats / len(nats):.4f}"
    )
    assert math.isclose(plain_nats, package_nats), "the package must give the same loss"
    print("Section 2 used k = 0.003. Other values:")
    for _k in (0.001, 0.003, 0.01, 0.1, 1.0):
        _model = AddK.fit([train], size, 2, k=_k)
        _nats = -float(_model.token_log_probabilities(validation)[1:].sum())
        _bits = _nats / math.log(2) / validation_bytes
        print(f"k = {_k:g}: {_bits:.3f} bits per byte")

    _cost = [nat / math.log(2) for nat in nats[:24]]
    _, _axes = plt.subplots(figsize=(7, 3.8))
    _axes.bar(range(24), _cost)
    _labels = [repr(piece(token)) if token != end else "(end)" for token in validation[1:25]]
    _most = max(range(24), key=lambda at: _cost[at])
    _before = piece(validation[_most])
    print(
        f"The highest bar is {_labels[_most]} after {_before!r}: this pair occurs "
        f"{followers[validation[_most]][validation[_most + 1]]} times in the training text."
    )
    _axes.set_xticks(range(24), _labels, rotation=60, ha="right")
    _chance = f"every token equally likely: {math.log2(size):.1f} bits"
    _axes.axhline(math.log2(size), color="black", linestyle=":", label=_chance)
    _axes.set(xlabel="the first tokens of the validation text, in order", ylabel="loss (bits)")
    _axes.set_title(
        f"Figure 3. The loss of these tokens is between {min(_cost):.1f} and {max(_cost):.1f} bits.\n"
        "A pair that never occurred can cost more than with all tokens equally likely."
    )
    _axes.legend()
    plt.show()
    return (uniform_bits,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 4. More context

    What a model sees before the next token is its **context**. An **n-gram** model counts sequences of *n* tokens, so its
    context is the last *n* - 1 tokens. A longer context says more, but most long sequences never occurred in training.
    **Kneser-Ney smoothing** therefore mixes the counts of all lengths. If a context of four tokens is frequent, its own counts
    decide. If it is rare, the model relies more on the last three tokens, and so on. Here the package's version is used; a
    readable one is in `src/scratchlm/classic/ngram.py`.

    The validation stories choose *n*. We do this for three amounts of training text, because the amount will matter.
    *Medium* is the training text so far, *little* is a seventh of it, and *large* is four times as much.

    Your guess: what is the lowest bits per byte that any *n* from 1 to 8 reaches with the medium text?
    """)
    return


@app.cell
def _():
    guess_4 = None  # bits per byte
    return (guess_4,)


@app.cell
def _(
    KneserNey,
    encode,
    guess_4,
    math,
    plt,
    reveal,
    sampled,
    size,
    stories,
    train,
    training_stories,
    uniform_bits,
    validation,
    validation_bytes,
):
    def ngram_bits(model, tokens, bytes_of_text):
        """Return the bits per byte of an n-gram model on a text."""
        return -float(model.token_log_probabilities(tokens)[1:].sum()) / math.log(2) / bytes_of_text

    texts = {
        "little": encode(training_stories[:105]),
        "medium": train,
        "large": encode(stories[140:3080]),
    }
    lengths = range(1, 9)
    by_length, ngrams = {}, {}
    for _name, _tokens in texts.items():
        _models = {n: KneserNey.fit([_tokens], size, n) for n in lengths}
        by_length[_name] = {
            n: ngram_bits(model, validation, validation_bytes) for n, model in _models.items()
        }
        # The n with the lowest bits per byte.
        ngrams[_name] = _models[min(lengths, key=lambda n, bits=by_length[_name]: bits[n])]
        print(f"{_name} text ({len(_tokens):,} tokens): the best n is {ngrams[_name].order}")
        print("  " + ", ".join(f"n = {n}: {bits:.3f}" for n, bits in by_length[_name].items()))
    reveal(min(by_length["medium"].values()), guess_4, "bits per byte")

    _, _axes = plt.subplots()
    for _name, _marker in zip(texts, "osD", strict=True):
        _best = ngrams[_name].order
        _label = f"{_name} text, {len(texts[_name]):,} tokens"
        _axes.plot(lengths, by_length[_name].values(), marker=_marker, label=_label)
        _axes.plot(_best, by_length[_name][_best], "*", markersize=16, color="black")
    _axes.axhline(uniform_bits, color="black", linestyle=":", label="every token equally likely")
    _axes.set(xlabel="n", ylabel="bits per byte on validation text", ylim=(0.5, 3))
    _orders = ", ".join(f"{model.order} with {name} text" for name, model in ngrams.items())
    _gains = {name: bits[4] - min(bits.values()) for name, bits in by_length.items()}
    _axes.set_title(
        f"Figure 4. Beyond n = 4 the gain is {min(_gains.values()):.2f} to {max(_gains.values()):.2f} "
        f"bits per byte.\nStars mark the best n of 1 to 8: {_orders}."
    )
    _axes.legend(loc=(0.58, 0.5))
    plt.show()
    print("The best model of the medium text writes:")
    _context = ngrams["medium"].order - 1
    print(sampled(lambda tokens: ngrams["medium"].distribution(tokens[-_context:])))
    return ngram_bits, ngrams, texts


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 5. Toward the same numbers by gradient descent

    Now we start from equal probabilities and come nearer to the counted ones step by step. A table `W` has one row for each
    earlier token. The row
    holds one number for each possible next token, its **logit**. The **softmax** turns the logits of a row into
    probabilities: it takes `exp` of each and divides by their sum.

    All logits start at zero, so every token is equally likely. The **gradient** says how the loss changes when a logit
    grows. If the loss would grow too, lower the logit; if it would fall, raise it. **Gradient descent** moves every logit in
    this way, against its gradient, and repeats. Each repetition is a **step**. How far a logit moves is its gradient times a
    factor, the **learning rate**; here it is 4.

    For the mean loss of one row there is a simple rule. The gradient of a logit is the *model's probability minus the counted
    frequency*. So the code can write it with the counts. PyTorch computes the same gradient from the pairs of tokens alone, and
    the last check compares both. For example, the model gives a token 0.20, but it followed in 0.27 of the cases. The gradient is -0.07, so its
    logit is raised. The gradient is zero when both are equal. So gradient descent comes closer and closer to the numbers that
    counting gives at once. It also works for models that counting cannot reach, such as the network below.

    Both methods learn from the training text. To see whether they find the same probabilities, we compare them on that text.
    Counting is used without smoothing here. So " down" after " looked" has another probability than in section 2. PyTorch
    (`torch`) is a library like numpy that also computes gradients.

    Your guess: how many nats per token above the loss of counting is gradient descent after 100 steps? It starts about 5
    nats above.
    """)
    return


@app.cell
def _():
    guess_5 = None  # nats per token
    return (guess_5,)


@app.cell
def _(
    followers,
    guess_5,
    looked,
    math,
    piece,
    plt,
    reveal,
    size,
    torch,
    train,
):
    _before, _after = torch.tensor(train[:-1]), torch.tensor(train[1:])
    _counts = torch.zeros(size, size)  # how often each pair occurs
    _counts.index_put_((_before, _after), torch.ones(len(_before)), accumulate=True)
    _totals = _counts.sum(1, keepdim=True).clamp(min=1)  # no division by zero where nothing follows
    _frequencies = _counts / _totals
    # The lowest loss that a bigram table can have here. Without clamp, log(0) would be minus infinity.
    least = -(_counts * _frequencies.clamp(min=1e-12).log()).sum().item() / len(_before)

    W = torch.zeros(size, size)
    costs = []
    for _step in range(101):
        _probabilities = W.softmax(-1)
        costs.append(-(_counts * _probabilities.clamp(min=1e-12).log()).sum().item() / len(_before))
        if _step < 100:
            W -= 4.0 * (_probabilities - _frequencies)  # against each row's gradient

    reveal(costs[-1] - least, guess_5, f"nats above counting ({costs[-1]:.3f} and {least:.3f})")
    for _token, _ in followers[looked].most_common(3):
        _counted, _learned = _frequencies[looked, _token], W[looked].softmax(-1)[_token]
        print(f"{piece(_token)!r} after ' looked': counted {_counted:.4f}, learned {_learned:.4f}")
    # What each row gives to all pairs that did occur. Counting gives them all of it, so the rest costs loss.
    _on_seen = (W.softmax(-1) * (_counts > 0)).sum(1)[_before]
    unseen_nats = -_on_seen.log().mean().item()
    print(f"Of the difference, {unseen_nats:.3f} nats come from pairs that never occurred.")
    print(f"After 100 steps such pairs still have {1 - _on_seen.mean():.0%} of the probability.")

    # PyTorch's gradient is that of the mean over all pairs: each row counts as often as its token.
    _checked = W.clone().requires_grad_()  # backward() fills _checked.grad with the gradient
    torch.nn.functional.cross_entropy(_checked[_before], _after).backward()
    _by_hand = (W.softmax(-1) - _frequencies) * _counts.sum(1, keepdim=True) / len(_before)
    gap = ((_checked.grad - _by_hand).abs().max() / _by_hand.abs().max()).item()
    assert gap < 1e-3, "the gradient by hand must equal PyTorch's"
    print("PyTorch's own gradient is the same, up to rounding.")

    _, _axes = plt.subplots()
    _axes.plot(range(101), costs, label="gradient descent")
    _axes.axhline(least, color="black", linestyle="--", label=f"counting: {least:.2f}")
    _chance = f"every token equally likely: {math.log(size):.2f}"
    _axes.axhline(math.log(size), color="black", linestyle=":", label=_chance)
    _axes.set(xlabel="steps of gradient descent", ylim=(0, 8))
    _axes.set(ylabel="loss on training text\n(nats per token)")
    _axes.set_title(
        f"Figure 5. Gradient descent comes within {costs[-1] - least:.2f} nats of counting.\n"
        "Most of this comes from pairs that never occurred: they keep some probability."
    )
    _axes.legend()
    plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 6. A network

    An n-gram model shares between contexts only what their last tokens have in common. What follows "the red" teaches it nothing
    about "the blue". A **network** computes the logits from the context with one formula for
    all contexts. The formula has many adjustable numbers, the **parameters**, and training finds them. So what it learns from
    one context can help with a similar one.

    The network here is a small **transformer**. It turns each token into a list of numbers, 96 of them; that is its *width*.
    A **layer** changes each list, using the lists of earlier tokens. This network has two layers. A last step computes the logits of
    the next token from the list of the last token. The network looks back at up to 96 tokens. (That the width is also 96 has
    no meaning.) Here we only use it; `scratchlm/model/minimal.py` builds one in 150 lines.

    One step of training takes 8 pieces of 96 tokens and changes all parameters so that the loss on these pieces falls. The
    **optimizer** decides how far and in which direction each one moves. It is a refined form of gradient descent; its learning
    rate scales all moves. A **pass** is as many steps as it takes to read the whole training text once. The first parameters are random and depend on
    a **seed**. We train three seeds and show each result, because one could be lucky.

    Counting and the network learn from the same text, and we compare them on the test stories. For counting, the validation
    stories chose *n*. The settings of the network were found in some trials on the stories of this page, before the test
    stories were drawn. The network reads a test text in pieces of 96 tokens and sees nothing before a piece, a small
    disadvantage that counting does not have. For the little text it is smaller, with a width of 64.

    Your guess: counting reaches about 1 bit per byte with the medium text. What does the network reach?
    """)
    return


@app.cell
def _():
    guess_6 = None  # bits per byte
    return (guess_6,)


@app.cell
def _(
    AdamWConfig,
    ArrayTokens,
    Loop,
    MuonConfig,
    TrainingConfig,
    WindowBatches,
    build_decoder,
    held_out_loss,
    qwen3_shaped,
    replace,
    size,
    test,
    tokenizer,
):
    seeds = (1, 2, 3)

    def new_network(seed, width=96, window=None):
        """Return an untrained network; a window limits how many tokens each layer sees."""
        # A small transformer with the parts of the published model Qwen3.
        shape = qwen3_shaped(size, width=width, layers=2, context=96)
        attention = replace(shape.attention, window=window)
        return build_decoder(replace(shape, attention=attention), seed)

    def trained(network, tokens, steps, seed):
        """Train a network on a text in place and return it."""
        # Muon changes the tables inside the layers, Adam all other parameters.
        adam = AdamWConfig(learning_rate=0.02, weight_decay=0.0)
        optimizer = MuonConfig(learning_rate=0.03, momentum=0.9, adam=adam)
        training = TrainingConfig(
            steps=steps, batch_size=8, sequence_length=96, optimizer=optimizer
        )
        batches = WindowBatches(ArrayTokens(tokens), 8, 96, seed=seed)
        for _ in Loop(network, batches, training).steps():
            pass  # each turn of this loop is one training step
        return network

    def network_bits(network):
        """Return the bits per byte of a network on the test stories."""
        return held_out_loss(network, tokenizer, ArrayTokens(test[1:])).bits_per_byte

    return network_bits, new_network, seeds, trained


@app.cell
def _(
    Batch,
    math,
    network_bits,
    new_network,
    next_token_loss,
    size,
    test,
    test_bytes,
    torch,
    train,
):
    # Before training: the loss of 64 tokens by hand, and as the package computes it.
    _network = new_network(seed=1)
    _window = torch.tensor(train[:65])[None]  # [None]: a batch of one row
    with torch.no_grad():
        _logits = _network(_window[:, :-1])
        _probabilities = _logits[0].softmax(-1)
        _log_sum = sum(math.log(_probabilities[at, _window[0, at + 1]]) for at in range(64))
        written_out = -_log_sum / 64
        summed = next_token_loss(_network, Batch(_window[:, :-1], _window[:, 1:])).item()
        used = summed / 64  # the package returns the sum over the 64 tokens
    assert math.isclose(written_out, used, rel_tol=1e-4), "the package must give the same loss"
    start_bits = network_bits(_network)
    uniform_test_bits = (len(test) - 1) * math.log2(size) / test_bytes
    print(f"{_network.parameter_count():,} parameters")
    print(f"Nats per token before training, by hand {written_out:.4f}, by the package {used:.4f}")
    print(f"With every token equally likely it would be {math.log(size):.4f}.")
    print(f"Bits per byte of the test stories before training: {start_bits:.3f}")
    print(f"With every token equally likely it would be {uniform_test_bits:.3f}.")
    print("Before training the network is no better than that.")
    return


@app.cell
def _(
    KneserNey,
    network_bits,
    new_network,
    ngram_bits,
    ngrams,
    seeds,
    size,
    test,
    test_bytes,
    texts,
    time,
    trained,
):
    steps_of = {"little": 100, "medium": 450, "large": 1350}
    networks, network_test = {}, {}
    for _name, _width in (("little", 64), ("medium", 96), ("large", 96)):
        _began = time.perf_counter()
        networks[_name] = [
            trained(new_network(seed, _width), texts[_name], steps_of[_name], seed)
            for seed in seeds
        ]
        _seconds = (time.perf_counter() - _began) / len(seeds)
        _began = time.perf_counter()
        KneserNey.fit([texts[_name]], size, ngrams[_name].order)
        _counted = time.perf_counter() - _began
        network_test[_name] = [network_bits(each) for each in networks[_name]]
        _passes = 8 * 96 * steps_of[_name] / len(texts[_name])
        print(f"{_name} text: {_passes:.1f} passes in {_seconds:.0f} s; counting: {_counted:.1f} s")
    ngram_test = {name: ngram_bits(model, test, test_bytes) for name, model in ngrams.items()}
    return network_test, networks, ngram_test, steps_of


@app.cell
def _(
    guess_6,
    network_test,
    networks,
    ngram_bits,
    ngram_test,
    np,
    package,
    plt,
    reveal,
    sampled,
    seeds,
    test,
    test_bytes,
    texts,
    torch,
):
    bigram_test = ngram_bits(package, test, test_bytes)
    reveal(np.mean(network_test["medium"]), guess_6, "bits per byte, the mean of three seeds")
    for _name in texts:
        _low, _high = min(network_test[_name]), max(network_test[_name])
        print(f"{_name} text: counting {ngram_test[_name]:.3f}, network {_low:.3f} to {_high:.3f}")
    print(f"For comparison, the bigram model on the medium text: {bigram_test:.3f}")

    @torch.no_grad()
    def next_probabilities(tokens):
        """Return the probabilities of the first network of the medium text."""
        logits = networks["medium"][0](torch.tensor([tokens[-96:]]))  # one row
        return logits[0, -1].softmax(-1).numpy()  # after the last token

    print("The first network of the medium text writes:")
    print(sampled(next_probabilities))

    _, _axes = plt.subplots()
    for _at, _name in enumerate(texts):
        _axes.plot(_at - 0.06, ngram_test[_name], "s", color="C0")
        _axes.plot([_at + 0.06] * len(seeds), network_test[_name], "o", color="C1")
    _axes.plot([], [], "s", color="C0", label="counting, the best n")
    _axes.plot([], [], "o", color="C1", label="network, three seeds")
    _ticks = [f"{name} text\n({len(tokens):,} tokens)" for name, tokens in texts.items()]
    _axes.set_xticks(range(3), _ticks)
    _axes.set(xlim=(-0.5, 2.5), ylabel="bits per byte on test text", xlabel="training text")
    _winners = [
        f"{name} text: {'network' if max(bits) < ngram_test[name] else 'counting'}"
        for name, bits in network_test.items()
    ]
    _axes.set_title(f"Figure 6. The lower loss, with these settings:\n{'; '.join(_winners)}.")
    _axes.legend()
    plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 7. Why the network wins

    With the medium text the network has the lower loss. There is more than one possible explanation. Each gets its own
    comparison, a **control**:

    - **Longer context?** We limit each layer to a few tokens, so that the network sees no more than the best n-gram model.
    - **More training?** The network reads the medium text several times, counting reads it once. We stop after one pass.
    - **More stored values?** We compare the parameters of the network with the values that the n-gram model stores.

    Your guess: what does the network reach with a context as short as that of the n-gram model?
    """)
    return


@app.cell
def _():
    guess_7 = None  # bits per byte
    return (guess_7,)


@app.cell
def _(
    network_bits,
    new_network,
    ngrams,
    seeds,
    size,
    steps_of,
    torch,
    train,
    trained,
):
    # For n = 6 the context is 5 tokens. A layer with window 3 looks back 2 tokens, two layers 4; with the last token
    # itself that makes 5.
    window = (ngrams["medium"].order - 2) // 2 + 1
    reach = 2 * (window - 1) + 1
    _limited = [
        trained(new_network(seed, window=window), train, steps_of["medium"], seed) for seed in seeds
    ]
    limited_bits = [network_bits(each) for each in _limited]
    one_pass = round(len(train) / (8 * 96))
    once_bits = [network_bits(trained(new_network(seed), train, one_pass, seed)) for seed in seeds]

    # The limit holds. Position 39 is the last one: 40 - reach is the farthest that it sees, 39 - reach one too far.
    _other = torch.tensor(train[:40])[None].clone()
    with torch.no_grad():
        _first = _limited[0](_other)[0, -1]
        _other[0, 39 - reach] = (_other[0, 39 - reach] + 1) % size
        unchanged_by = (_limited[0](_other)[0, -1] - _first).abs().max().item()
        _other = torch.tensor(train[:40])[None].clone()
        _other[0, 40 - reach] = (_other[0, 40 - reach] + 1) % size
        seen_by = (_limited[0](_other)[0, -1] - _first).abs().max().item()
    print(
        f"The limited network sees {reach} tokens, the n-gram model {ngrams['medium'].order - 1}."
    )
    print(
        f"Changing the first of these tokens changes its logits by up to {seen_by:.1g}, "
        f"changing the token before them by {unchanged_by:.1g}."
    )
    return limited_bits, once_bits, reach


@app.cell
def _(
    guess_7,
    limited_bits,
    network_test,
    networks,
    ngram_test,
    ngrams,
    np,
    once_bits,
    plt,
    reach,
    reveal,
):
    reveal(np.mean(limited_bits), guess_7, "bits per byte, the mean of three seeds")
    controls = {
        "network, one pass": once_bits,
        f"network, context of {reach} tokens": limited_bits,
        "network, context up to 96 tokens": network_test["medium"],
    }
    for _label, _bits in controls.items():
        print(f"{_label}: {min(_bits):.3f} to {max(_bits):.3f} bits per byte")
    ngram_numbers = sum(len(level.kept) + len(level.backoff) for level in ngrams["medium"].levels)
    print(f"counting, n = {ngrams['medium'].order}: {ngram_test['medium']:.3f} bits per byte")
    print(f"values in the network: {networks['medium'][0].parameter_count():,}")
    print(
        f"values in the n-gram model: {ngram_numbers:,}, not counting the tokens of its sequences"
    )
    _gain = ngram_test["medium"] - np.mean(network_test["medium"])
    _context = np.mean(limited_bits) - np.mean(network_test["medium"])
    print(
        f"The network gains {_gain:.3f} bits per byte; longer context explains {_context:.3f} of it."
    )

    _, _axes = plt.subplots(figsize=(7, 2.8))
    _counting = f"counting, n = {ngrams['medium'].order}"
    _axes.axvline(ngram_test["medium"], color="C0", linestyle="--", label=_counting)
    for _at, _bits in enumerate(controls.values()):
        _axes.plot(_bits, [_at] * len(_bits), "o", color="C1")
    _axes.plot([], [], "o", color="C1", label="network, three seeds")
    _axes.set_yticks(range(len(controls)), controls)
    _axes.set(xlabel="bits per byte on test text", ylim=(-0.5, 2.5))
    _same = "beats" if max(limited_bits) < ngram_test["medium"] else "does not beat"
    _once = "beats" if max(once_bits) < ngram_test["medium"] else "does not beat"
    _axes.set_title(
        f"Figure 7. With the same context the network {_same} counting.\nAfter a single pass it {_once} it."
    )
    _axes.legend()
    plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    The controls say this about the medium text:

    - Longer context is the smaller part of the reason. With the short context all three seeds still have a lower loss than
      counting.
    - With these settings one pass is not enough: all three seeds then have a higher loss than counting. A second pass would
      show counting no new sequence, but the network still learns from it. More passes also mean more steps; this page does
      not separate the two.
    - The number of stored values is not the reason. The n-gram model stores more.

    So with these settings the advantage appears only after several passes, even with the same context and fewer values. We
    suppose that one formula for all contexts is what makes this possible: it must find what contexts have in common. The
    controls leave that explanation, but do not prove it.

    ⚠️ Figure 6 changes several things at once: the amount of text, the number of passes and, for little text, the width. With
    little text this network loses, after five passes. A better tuned one might win; the page does not show that it cannot.
    And counting is much faster, as the times above say.

    Compare the samples of sections 2, 4 and 6. With more context, a sample keeps to one subject for longer. The network still
    invents words.
    """)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 8. What a parameter does

    Training changes all parameters at once. Here you change a single one and watch one probability. The gradient gives the
    **slope**: how fast the probability changes with the parameter. For a small change the slope alone predicts the result.

    The parameter is a **scale**. At the end the network has 96 numbers for the last token. It brings them to a common size,
    multiplies each by its scale, and computes the logits. We take the scale with the steepest slope. PyTorch computes the gradient of any result, here of the
    probability of " colour" after a name and "'s favourite".
    """)
    return


@app.cell
def _(end, networks, piece, test_stories, tokenizer, torch):
    _phrase = "'s favourite colour is"
    _story = next(text for text in test_stories if _phrase in text)
    prompt = _story.split(_phrase)[0].split()[-1] + "'s favourite"  # the name before the phrase
    _ids = torch.tensor([[end, *tokenizer.encode(prompt)]])
    target = tokenizer.encode(" colour")[0]
    _network = networks["medium"][0].eval()
    scales = _network.final_norm.weight

    def probability_of_target():
        """Return the probability of the target token after the prompt."""
        return _network(_ids)[0, -1].softmax(-1)[target]

    _network.zero_grad()  # forget the gradients of the training
    probability_of_target().backward()  # puts the slope of each scale into scales.grad
    place = int(scales.grad.abs().argmax())
    slope = scales.grad[place].item()
    _network.zero_grad()
    unchanged = probability_of_target().item()
    print(f"{piece(target)!r} after {prompt!r} has a probability of {unchanged:.3f}.")
    print(
        f"The slope of this probability is {slope:.3f} for scale {place}, the steepest of the 96."
    )
    return place, probability_of_target, prompt, scales, slope, target, unchanged


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Your guess: we add 0.5 to this scale. By how many percentage points does the probability change?
    """)
    return


@app.cell
def _():
    guess_8 = None  # percentage points
    change = 0.5  # try others, from -6 to 6
    return change, guess_8


@app.cell
def _(
    change,
    guess_8,
    np,
    piece,
    place,
    plt,
    probability_of_target,
    prompt,
    reveal,
    scales,
    size,
    slope,
    target,
    torch,
    unchanged,
):
    def changed_by(amount):
        """Return the probability of the target with one parameter changed, and change it back."""
        with torch.no_grad():
            kept = scales[place].item()
            scales[place] = kept + amount
            result = probability_of_target().item()
            scales[place] = kept
        return result

    changed = changed_by(change)
    nudged = (changed_by(0.001) - unchanged) / 0.001
    _points = 100 * (changed - unchanged)
    reveal(_points, guess_8, f"percentage points, for {piece(target)!r} after {prompt!r}")
    print(f"Probability {unchanged:.4f} before, {changed:.4f} after a change of {change:g}")
    print(f"Slope from the gradient {slope:.4f}, from a change of 0.001 {nudged:.4f}")

    _amounts = np.linspace(-6, 6, 61)
    _computed = [100 * changed_by(amount) for amount in _amounts]
    _, _axes = plt.subplots()
    _axes.plot(_amounts, _computed, label="computed again for each change")
    _axes.plot(
        _amounts, 100 * (unchanged + slope * _amounts), "--", label="predicted from the slope"
    )
    _axes.plot(change, 100 * changed, "o", color="black", label=f"change of {change:g}")
    _axes.axhline(100 / size, color="black", linestyle=":", label="every token equally likely")
    _label = f"probability of {piece(target)!r} (%)"
    _axes.set(xlabel="change of the parameter", ylabel=_label, ylim=(-5, 105))
    _axes.set_title(
        "Figure 8. For small changes the slope predicts the probability; for large ones it does not."
    )
    _axes.legend()
    plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 9. Before language models: hand-made features

    Older programs used a **classifier** for each task. Somebody chose **features**, such as the words of a text. The
    classifier learned from examples with the right answer, the **label**. Here a classifier and a language model get the same
    task. Two sentences have the same words; in one they are shuffled. Which one is in order?

    A **naive Bayes** classifier learns from training sentences with labels: it counts how often each feature occurs under
    each label. Single words cannot help it, because both sentences have the same words, so their scores are equal. An equal score
    counts as half right. Somebody has to add pairs of words as features.

    The language model has never seen a shuffled sentence or a label. It answers with the sentence to which it gives the higher
    probability. Each sentence begins with a capital and ends with a full stop. Names inside it lose their capital, in both
    orders. No tested sentence occurs in the training stories.

    Your guess: how often, in percent, is the n-gram model right?
    """)
    return


@app.cell
def _():
    guess_9 = None  # percent
    return (guess_9,)


@app.cell
def _(random, storyworld, test_stories, training_stories):
    _draw = random.Random(0)

    def sentences_of(texts):
        """Return the different sentences of 6 to 14 words without direct speech."""
        sentences = {sentence for text in texts for sentence in storyworld.sentences(text)}
        return {s for s in sentences if 6 <= len(s.split()) <= 14 and '"' not in s}

    def pairs_from(sentences, count):
        """Return pairs of a sentence and its words shuffled."""
        sentences = sorted(sentences)
        pairs = []
        for sentence in _draw.sample(sentences, min(count, len(sentences))):
            words = sentence.lower().strip(".!?").split()
            mixed = _draw.sample(words, len(words))  # all words, in a random order
            pairs.append((" ".join(words), " ".join(mixed)))
        return [pair for pair in pairs if pair[0] != pair[1]]

    _known = sentences_of(training_stories)
    learned_pairs = pairs_from(_known, 3000)
    tested_pairs = pairs_from(sentences_of(test_stories) - _known, 400)
    return learned_pairs, tested_pairs


@app.cell
def _(
    NaiveBayes,
    end,
    guess_9,
    learned_pairs,
    ngrams,
    np,
    plt,
    reveal,
    tested_pairs,
    tokenizer,
    wilson_interval,
):
    _texts = [text for pair in learned_pairs for text in pair]
    _labels = [1, 0] * len(learned_pairs)

    def correct(score):
        """Return 1 for each pair whose ordered sentence scores higher, 0.5 for equal scores."""
        scores = [(score(good), score(bad)) for good, bad in tested_pairs]
        # True counts as 1.
        return np.array([(good > bad) + 0.5 * (good == bad) for good, bad in scores])

    answers = {}
    for _longest, _label in ((1, "single words"), (2, "with pairs of words")):
        _model = NaiveBayes(_longest).fit(_texts, _labels)
        # model=_model keeps this model for the function; rounding makes equal scores equal.
        answers[f"naive Bayes, {_label}"] = correct(
            lambda text, model=_model: round(float(model.predict_proba([text])[0, 1]), 9)
        )

    def sentence_score(text):
        """Return the log-probability of a sentence, with a capital and a full stop."""
        tokens = np.array([end, *tokenizer.encode(text.capitalize() + ".")])
        return float(ngrams["medium"].token_log_probabilities(tokens)[1:].sum())

    answers["language model (n-grams)"] = correct(sentence_score)
    right = {label: float(each.mean()) for label, each in answers.items()}
    _score = 100 * right["language model (n-grams)"]
    reveal(_score, guess_9, f"percent of {len(tested_pairs)} pairs")
    for _label, _accuracy in right.items():
        print(f"{_label}: {_accuracy:.1%}")
    print(
        "The bars of Figure 9 carry 95% intervals: 95 of 100 made in this way hold the true value."
    )

    _, _axes = plt.subplots(figsize=(7, 2.8))
    _axes.barh(list(right), [100 * p for p in right.values()], color=["C2", "C2", "C0"])
    for _at, _each in enumerate(answers.values()):
        if 0.5 not in _each:  # pairs with equal scores are neither right nor wrong
            _low, _high = wilson_interval(int(_each.sum()), len(_each))
            _axes.plot([100 * _low, 100 * _high], [_at, _at], color="black", linewidth=3)
    _axes.axvline(50, color="black", linestyle=":", label="guessing: 50%")
    _axes.set(xlim=(0, 105), xlabel="correct (%), with 95% intervals")
    _axes.set_title(
        "Figure 9. The language model needs no labels. The classifier had\n"
        f"{2 * len(learned_pairs):,} of them, and needs a person to add the right feature."
    )
    _axes.legend(loc="lower right")
    plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    With pairs of words the classifier is nearly perfect too, so the task does not show which is better. What differs is what
    each needed: labels and a feature that fits this one task, or text alone. ⚠️ The n-gram model counts neighbouring tokens
    too, and a person chose that, but not for this task. And the two learned from different amounts of text.

    **What to keep.** A language model gives probabilities to what comes next; its loss on unseen text measures how well.
    Counting, smoothed, is a strong beginning. Gradient descent finds counted probabilities step by step, and it also trains
    networks. With enough text, and several passes over it, our network overtook counting. With little text counting stayed
    ahead.
    """)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 10. Exercises

    1. If N tokens are equally likely, the loss is the logarithm of N. The **perplexity** goes back from a loss in nats to
       this N. Write `perplexity(loss)`.
    2. Write `bits_per_byte(nats, text)` for a text with a total loss of `nats`.
    3. Write `logits_gradient(logits, target)`: the gradient of the loss of one token with respect to its logits. It has the
       shape of `logits`. `target` is the number of the token that came next. For a single token the counted frequency is 1
       for the token that came, and 0 for all others.

    Replace `return None` in each of the three functions. In marimo the check runs at once; in Jupyter run the next three cells again. The last
    cell has the solutions.
    """)
    return


@app.cell
def _():
    def perplexity(loss):
        return None  # yours

    def bits_per_byte(nats, text):
        return None  # yours

    def logits_gradient(logits, target):
        return None  # yours

    return bits_per_byte, logits_gradient, perplexity


@app.cell
def _(math, torch):
    def check(perplexity, bits_per_byte, logits_gradient):
        """Return which of the three exercises are solved."""
        values = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
        torch.nn.functional.cross_entropy(values[None], torch.tensor([2])).backward()
        found = []
        if perplexity(math.log(7)) is not None and math.isclose(perplexity(math.log(7)), 7):
            found.append(1)
        per_byte = bits_per_byte(8.0, "äb")
        if per_byte is not None and math.isclose(per_byte, 8 / math.log(2) / 3):
            found.append(2)
        mine = logits_gradient(values.detach().clone(), 2)
        if mine is not None and mine.shape == values.shape and torch.allclose(mine, values.grad):
            found.append(3)
        return found

    return (check,)


@app.cell
def _(bits_per_byte, check, logits_gradient, perplexity):
    _solved = check(perplexity, bits_per_byte, logits_gradient)
    print(f"Solved so far: {', '.join(map(str, _solved)) or 'none yet'}.")
    return


@app.cell
def _(check, math):
    def _perplexity(loss):
        return math.exp(loss)

    def _bits_per_byte(nats, text):
        return nats / math.log(2) / len(text.encode("utf-8"))

    def _logits_gradient(logits, target):
        gradient = logits.softmax(-1)
        gradient[target] -= 1.0  # probability minus frequency: 1 for the target, 0 for all others
        return gradient

    solved = check(_perplexity, _bits_per_byte, _logits_gradient)
    print(f"The solutions solve: {', '.join(map(str, solved))}.")
    return


if __name__ == "__main__":
    app.run()
