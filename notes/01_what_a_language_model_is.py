"""Chapter 1: what a language model is. Open it with: marimo edit notes/01_what_a_language_model_is.py"""

import marimo

app = marimo.App(width="medium", app_title="What a language model is")


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # What a language model is

    A **language model** reads a text and gives a probability to everything that could come next. That is all it does. Writing,
    answering and translating come from asking it again and again: choose a likely next piece, append it, ask.

    Here you build some of them. The first ones count. Another comes close to the same numbers step by step, downhill. The last is a
    network with **attention**, and you look inside it. At the end you catch some spam, in three ways that are three ages of this field.

    ⭐ **Guess before you look.** Most sections ask you for a number. Write it down, such as `guess_1 = 30`, and only then does
    the result appear. A wrong guess is worth more than a right one: it shows what you did not know you believed. Write
    `"skip"` where you would rather not.

    Everything is computed here, in two minutes, and nothing is downloaded. In marimo results appear at once. In Jupyter, run the
    next cell again. The signs mean the same on [every page](README.md#signs).
    """)
    return


@app.cell
def _():
    import math
    import random
    from collections import Counter, defaultdict
    from dataclasses import replace
    from itertools import pairwise

    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    import torch

    from scratchlm import storyworld
    from scratchlm.classic.bayes import NaiveBayes
    from scratchlm.classic.ngram_fast import KneserNey
    from scratchlm.classic.smoothing import AddK
    from scratchlm.data.batches import ArrayTokens, WindowBatches
    from scratchlm.evaluation.bits import held_out_loss
    from scratchlm.inspection.edits import Edit
    from scratchlm.inspection.trace import trace
    from scratchlm.lab.course.guessing import guessed
    from scratchlm.lab.harness.plots import STYLE
    from scratchlm.model.decoder import build_decoder
    from scratchlm.pretraining.depth_scaling import load_recipe
    from scratchlm.tokens.base import END_OF_TEXT
    from scratchlm.tokens.fast import FastBPE
    from scratchlm.training.loop import Loop

    plt.rcParams.update(STYLE | {"figure.figsize": (7, 3.2), "figure.constrained_layout.use": True})

    return (
        AddK,
        ArrayTokens,
        Counter,
        END_OF_TEXT,
        Edit,
        FastBPE,
        KneserNey,
        Loop,
        NaiveBayes,
        WindowBatches,
        build_decoder,
        defaultdict,
        guessed,
        held_out_loss,
        load_recipe,
        math,
        mo,
        np,
        pairwise,
        plt,
        random,
        replace,
        storyworld,
        torch,
        trace,
    )


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 1. Text and tokens

    The text is a thousand short stories about one small world, which a program invented. People there have pets, jobs and
    favourite colours, and no story contradicts another.

    A model does not read letters. It reads **tokens**: frequent pieces of text, often a word with the space before it. The
    **tokenizer** cuts the text and numbers the pieces. All of them together are the **vocabulary**, about 2,000 here. Among them are the 256
    bytes that a computer stores text in, so any text can be cut. A special end token closes each story.

    Most stories are for **training**: the model learns from them. Sixty are kept aside for **validation**, to choose between models.
    Eighty new ones of the same program are the **test**, and no model ever sees those.

    🎯 Your guess: the 100 most frequent tokens are a twentieth of the vocabulary. What percentage of the text do they make up?
    """)
    return


@app.cell
def _():
    guess_1 = None  # percent, for example 30
    return (guess_1,)


@app.cell
def _(END_OF_TEXT, FastBPE, np, random, storyworld):
    stories = list(storyworld.stories(600_000, seed=2))
    random.Random(0).shuffle(stories)
    validation_stories, training_stories = stories[:60], stories[60:]
    _known = set(stories)
    test_stories = [text for text in storyworld.stories(100_000, seed=3) if text not in _known][:80]
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

    train, validation, test = (
        encode(training_stories),
        encode(validation_stories),
        encode(test_stories),
    )
    test_bytes = sum(len(text.encode()) for text in test_stories)
    print(f"{len(training_stories)} training stories, {len(train):,} tokens of {size:,} kinds")
    print("A test story begins like this, with | between tokens:")
    print("|".join(piece(token) for token in test[1:36]))
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
    )


@app.cell
def _(guess_1, guessed, np, plt, size, train):
    by_rank = np.sort(np.bincount(train, minlength=size))[::-1]  # how often each token occurs
    most_frequent = 100 * by_rank[:100].sum() / len(train)
    if guessed(guess_1, most_frequent, "percent of the text"):
        _, _axes = plt.subplots()
        _seen = int((by_rank > 0).sum())
        _axes.loglog(np.arange(1, _seen + 1), by_rank[:_seen], marker="")
        _axes.axvline(100, color="C5", linestyle=":", label="the 100 most frequent tokens")
        _axes.set(xlabel="rank of the token, the most frequent first", ylabel="occurrences")
        _axes.set_title(
            f"A few tokens do most of the work; half occur at most {by_rank[size // 2]} times"
        )
        _axes.legend()
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 2. A model by counting

    Count how often token B follows token A, and divide by how often A occurs. That is the probability of B after A, and this is a
    **bigram** model. A few lines of code, and it is a language model: it gives a probability to everything that could come next.

    A pair that never occurred would have probability zero, and so would any text that contains it. A model should never say
    *never*. So a small number `k` is added to every count. This is **smoothing**, in its simplest form.

    🎯 Your guess: what probability, in percent, does the likeliest token after " looked" have?
    """)
    return


@app.cell
def _():
    guess_2 = None  # percent
    return (guess_2,)


@app.cell
def _(AddK, Counter, defaultdict, size, tokenizer, train):
    k = 0.003
    followers = defaultdict(Counter)
    for _before, _after in zip(train[:-1].tolist(), train[1:].tolist(), strict=True):
        followers[_before][_after] += 1

    def probability(token, before):
        """Return the probability of a token after another one, from the counts."""
        return (followers[before][token] + k) / (followers[before].total() + k * size)

    looked = tokenizer.encode(" looked")[0]
    together = sum(probability(token, looked) for token in range(size))
    # The package's bigram model (2: pairs of tokens) must give the same numbers.
    package = AddK.fit([train], size, 2, k=k)
    largest = max(
        abs(probability(token, looked) - package.probability(token, [looked]))
        for token in range(size)
    )
    assert largest < 1e-12, "the package's model must give the same probabilities"
    print(f"All {size:,} probabilities after ' looked' sum to {together:.6f}.")
    print("The package's model gives the same numbers.")
    return followers, looked, package, probability, together, largest


@app.cell
def _(followers, guess_2, guessed, looked, piece, plt, probability):
    best = [
        (piece(token), probability(token, looked)) for token, _ in followers[looked].most_common(8)
    ]
    if guessed(guess_2, 100 * best[0][1], f"percent, for {best[0][0]!r}"):
        _, _axes = plt.subplots()
        _axes.bar([repr(text) for text, _ in best], [100 * p for _, p in best])
        _axes.set(xlabel="next token", ylabel="probability (%)")
        _axes.set_title("What comes after ' looked'")
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    How does such a model write? Draw the next token at random, by its probability. Append it, and draw again. This is
    **sampling**. A bigram model remembers one token, and writes accordingly:
    """)
    return


@app.cell
def _(end, np, package, piece, train):
    def sampled(distribution, count=40):
        """Return a text after the last training story, drawn token by token; `distribution` maps tokens to probabilities."""
        draw, tokens = np.random.default_rng(1), train[-8:].tolist()
        for _ in range(count):
            probabilities = distribution(tokens).astype(np.float64)
            probabilities /= probabilities.sum()  # rounding can leave the sum a little beside 1
            tokens.append(int(draw.choice(len(probabilities), p=probabilities)))
        return "".join("(end) " if token == end else piece(token) for token in tokens[8:])

    print(sampled(lambda tokens: package.distribution(tokens[-1:])))
    return (sampled,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 3. How good is it?

    It speaks like a dinner guest who remembers nothing but his own last word. To say *how* bad that is, we need a number.

    A model is good if it gave a high probability to what really came next. Take the logarithm of that probability, and change its
    sign: that is the **loss** of a token. It is zero for a token that the model was sure of, and large for a surprise. The mean over the
    tokens of a text is the **cross-entropy**. Training a language model means nothing else than making it small.

    With the natural logarithm the unit is the **nat**, with base 2 the **bit**. Another cut gives other tokens, and so another mean. The *total* in bits,
    divided by the bytes of the text, can be compared: **bits per byte**.

    ⚠️ Always measure on text that was not trained on. A model that learned its text by heart has no loss there, and knows nothing.

    🎯 Your guess: if every token were equally likely, these test stories would cost about 3 bits per byte. What do they cost with bigrams?
    """)
    return


@app.cell
def _():
    guess_3 = None  # bits per byte
    return (guess_3,)


@app.cell
def _(math, package, pairwise, probability, size, test, test_bytes):
    def bits(nats):
        """Return bits per byte of the test stories from their nats."""
        return nats / math.log(2) / test_bytes

    plain_nats = sum(
        -math.log(probability(token, before)) for before, token in pairwise(test.tolist())
    )
    package_nats = -float(package.token_log_probabilities(test)[1:].sum())
    assert math.isclose(plain_nats, package_nats), "the package must give the same loss"
    bigram_bits = bits(plain_nats)
    uniform_bits = bits((len(test) - 1) * math.log(size))
    print("The loss by hand and by the package are the same.")
    return bigram_bits, bits, package_nats, plain_nats, uniform_bits


@app.cell
def _(
    bigram_bits, end, guess_3, guessed, math, pairwise, piece, plt, probability, test, uniform_bits
):
    if guessed(
        guess_3, bigram_bits, f"bits per byte (all tokens equally likely: {uniform_bits:.2f})"
    ):
        _cost = [
            -math.log2(probability(token, before)) for before, token in pairwise(test[:23].tolist())
        ]
        _labels = [repr(piece(token)) if token != end else "(end)" for token in test[1:23]]
        _, _axes = plt.subplots()
        _axes.bar(range(22), _cost)
        _axes.set_xticks(range(22), _labels, rotation=60, ha="right")
        _axes.set(ylabel="loss (bits)")
        _axes.set_title("Where the model was surprised")
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 4. More context, still by counting

    What a model sees before the next token is its **context**. An **n-gram** model counts sequences of *n* tokens, so it sees *n* - 1. A longer
    context says more, but it has rarely been seen before. Most sequences of six tokens in a new story are new.

    **Kneser-Ney smoothing** was the answer for twenty years. It takes a little off every count, and gives what it
    gathers to the probabilities of the next shorter context. There it asks another question: not how *often* a token occurred, but after how many
    *different* tokens. "Francisco" is frequent, but only after "San", so it is a bad guess elsewhere.

    🎯 Your guess: bigrams see one token. With the best *n*, counted on the same text, how many bits per byte are left?
    """)
    return


@app.cell
def _():
    guess_4 = None  # bits per byte
    return (guess_4,)


@app.cell
def _(KneserNey, bits, size, test, train, validation):
    _models = {n: KneserNey.fit([train], size, n) for n in range(1, 8)}
    # The validation stories choose n, the test stories judge.
    _chosen = {
        n: -float(model.token_log_probabilities(validation)[1:].sum())
        for n, model in _models.items()
    }
    by_length = {
        n: bits(-float(model.token_log_probabilities(test)[1:].sum()))
        for n, model in _models.items()
    }
    ngrams = _models[min(_chosen, key=_chosen.get)]
    counted_bits = by_length[ngrams.order]
    print("Seven n-gram models are counted.")
    return by_length, counted_bits, ngrams


@app.cell
def _(by_length, counted_bits, guess_4, guessed, ngrams, plt, sampled):
    if guessed(guess_4, counted_bits, f"bits per byte, with n = {ngrams.order}"):
        _, _axes = plt.subplots()
        _axes.plot(list(by_length), list(by_length.values()))
        _axes.set(xlabel="n", ylabel="bits per byte on test stories")
        _axes.set_title("Each further token of context helps less")
        plt.show()
        print("It writes:")
        print(sampled(lambda tokens: ngrams.distribution(tokens[-(ngrams.order - 1) :])))
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 5. The same numbers, downhill

    Counting gives probabilities at once. There is another way to them, and it works where counting cannot.

    Give each pair of tokens a number, its **logit**. They fill a table: a row for each first token, a column for each next one.
    The **softmax** turns a row into probabilities: take `exp` of each logit, divide by their sum. In the beginning all logits are zero, so everything is equally likely. The **gradient** says how the loss
    changes if a logit grows. Move every logit a little the other way, and repeat. This is **gradient descent**, and how far a logit moves is
    set by the **learning rate**.

    💡 For a row of this table the gradient is simple: *the model's probability minus the counted frequency*. The model gives 0.20, the text
    says 0.27, so the logit goes up. Where both are equal, nothing moves. So it approaches the frequencies of the training text: what
    counting finds, without smoothing.

    🎯 Your guess: it starts about 5 nats above counting. How far above is it after 100 steps?
    """)
    return


@app.cell
def _():
    guess_5 = None  # nats per token
    return (guess_5,)


@app.cell
def _(size, torch, train):
    _before, _after = torch.tensor(train[:-1]), torch.tensor(train[1:])
    _counts = torch.zeros(size, size)  # how often each pair occurs
    _counts.index_put_((_before, _after), torch.ones(len(_before)), accumulate=True)
    _frequencies = _counts / _counts.sum(1, keepdim=True).clamp(min=1)

    def _loss(probabilities):
        return -(_counts * probabilities.clamp(min=1e-12).log()).sum().item() / len(_before)

    least = _loss(_frequencies)  # what counting has on its own training text
    W = torch.zeros(size, size)
    costs = [_loss(W.softmax(-1))]
    for _ in range(100):
        W -= 4.0 * (W.softmax(-1) - _frequencies)  # against each row's gradient
        costs.append(_loss(W.softmax(-1)))

    # PyTorch finds the same gradient by itself; it weighs each row by how often its token occurs.
    _checked = W.clone().requires_grad_()
    torch.nn.functional.cross_entropy(_checked[_before], _after).backward()
    _by_hand = (W.softmax(-1) - _frequencies) * _counts.sum(1, keepdim=True) / len(_before)
    gap = ((_checked.grad - _by_hand).abs().max() / _by_hand.abs().max()).item()
    assert gap < 1e-3, "the gradient by hand must equal PyTorch's"
    print("PyTorch's own gradient is the same as the one by hand.")
    return costs, gap, least


@app.cell
def _(costs, guess_5, guessed, least, plt):
    if guessed(guess_5, costs[-1] - least, "nats per token above counting"):
        _, _axes = plt.subplots()
        _axes.plot(costs, marker="", label="gradient descent")
        _axes.axhline(least, color="C1", linestyle="--", label="counting")
        _axes.set(xlabel="steps", ylabel="loss on training text\n(nats per token)", ylim=(0, 8))
        _axes.set_title("Downhill to the counts")
        _axes.legend()
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 6. A network

    What an n-gram model counts after "the red hat", it does not know after "the blue hat". A **network** computes the logits from the context by one
    formula for all contexts. The formula has many adjustable numbers, its **parameters**, and gradient descent sets them. So what it learns
    from one context can help in another.

    This network is a small **transformer**. It turns each token into a list of 96 numbers. Two **layers** change these lists. Each has two
    parts. **Attention** lets a token fetch from earlier tokens: it is the only place where they meet. It does so in four **heads**, each with its own
    idea of what to fetch. The **feed-forward** part then works on each token alone. At the end, the list of the last token is multiplied with a list for
    each token of the vocabulary: these products are the logits of the next.

    Before training the parameters are random, and the network guesses. All it ever hears is how badly it predicted the next token.
    Training on plain text like this is called **pretraining**. Nobody writes labels: the next token is the answer, and there is one
    at every place. Later such a model can be trained a little more for one task, which is **fine-tuning**.

    Counting has read the text once, and gains nothing by reading it again: every frequency stays the same. A network takes more small steps downhill at each
    reading. Two of them, from different random beginnings, will now read the text several times.

    🎯 Your guess: how many times must the network read the text before it predicts better than the best n-grams?
    """)
    return


@app.cell
def _():
    guess_6 = None  # passes over the text
    return (guess_6,)


@app.cell
def _(
    ArrayTokens,
    Loop,
    WindowBatches,
    build_decoder,
    held_out_loss,
    load_recipe,
    replace,
    size,
    test,
    tokenizer,
    train,
):
    _recipe = load_recipe("default", 2)  # the package's usual recipe, with two layers
    _heads = replace(_recipe.model.attention, heads=4, kv_heads=4, head_dim=24)
    _forward = replace(_recipe.model.feed_forward, hidden=288)
    _shape = replace(
        _recipe.model,
        vocabulary_size=size,
        context=128,
        width=96,
        attention=_heads,
        feed_forward=_forward,
    )
    _plan = replace(
        _recipe.training,
        steps=450,
        batch_size=8,
        sequence_length=96,
        evaluate_every=0,
        sample_every=0,
    )

    def network_bits(network):
        """Return the bits per byte of a network on the test stories."""
        return held_out_loss(network, tokenizer, ArrayTokens(test[1:])).bits_per_byte

    def trained(seed):
        """Train a network; return it with its bits per byte by passes over the text."""
        network = build_decoder(_shape, seed)
        curve = {0.0: network_bits(network)}
        batches = WindowBatches(ArrayTokens(train), 8, 96, seed=seed)
        for number, _ in enumerate(Loop(network, batches, _plan).steps(), 1):
            if number % 50 == 0:
                curve[number * 8 * 96 / len(train)] = network_bits(network)
                network.train()
        return network.eval(), curve

    networks, curves = zip(*(trained(seed) for seed in (1, 2)), strict=True)
    print(f"Two networks of {networks[0].parameter_count():,} parameters are trained.")
    return curves, networks, trained


@app.cell
def _(counted_bits, curves, guess_6, guessed, math, networks, pairwise, plt, sampled, torch):
    def crossing(curve):
        """Return where the line between the measurements first falls below counting."""
        for (before, above), (after, below) in pairwise(curve.items()):
            if below < counted_bits:
                return before + (after - before) * (above - counted_bits) / (above - below)
        return math.nan

    overtaken = max(crossing(curve) for curve in curves)
    if guessed(guess_6, overtaken, "passes, by which both networks are ahead"):
        _, _axes = plt.subplots()
        for _number, _curve in enumerate(curves):
            _axes.plot(
                list(_curve),
                list(_curve.values()),
                color="C0",
                label=None if _number else "two networks",
            )
        _axes.axhline(counted_bits, color="C1", linestyle="--", label="the best n-grams")
        _axes.set(
            xlabel="passes over the training text",
            ylabel="bits per byte on test stories",
            ylim=(0.7, 2),
        )
        _axes.set_title("The network overtakes counting by reading again")
        _axes.legend()
        plt.show()
        print("It writes:")
        with torch.no_grad():
            print(
                sampled(
                    lambda tokens: (
                        networks[0](torch.tensor([tokens[-96:]]))[0, -1].softmax(-1).numpy()
                    )
                )
            )
    return (overtaken,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ⚠️ "Networks beat counting" would be the wrong lesson from this figure. Left of where the lines cross, counting is ahead, and it needs one
    reading. The experiment [ladder-lm](findings/ladder-lm.md) compares both on real books, with good settings for each.

    ## 7. Attention

    For each token a head makes a **query**, what it looks for, and a **key**, what it offers. Both are lists of numbers. Multiply the query of one token with the
    key of itself and of each earlier one, number by number, and add up: a score for each. Divide by the square root of their length, so that long lists do not give larger scores. A softmax turns them into its **attention weights**. They sum to one. With them, the head takes a mean of the
    tokens' **values**, a third list: what each has to give. The lines below do this by hand, and the package must agree.

    Do not confuse them with the weights of the network. Those are parameters, the same for every text. Attention weights are computed
    anew for each text, and forgotten.

    🎯 Your guess: there are eight heads. We switch each one off alone, and measure the loss on the test stories. By how many bits per byte does the
    most important one raise it?
    """)
    return


@app.cell
def _():
    guess_7 = None  # bits per byte
    return (guess_7,)


@app.cell
def _(Edit, bits, end, networks, np, test, test_stories, tokenizer, torch, trace):
    _network = networks[0]
    _sentence = next(text for text in test_stories if "'s favourite" in text).split(". ")[0]
    sentence = torch.tensor([[end, *tokenizer.encode(_sentence)][:24]])
    _seen = trace(
        _network,
        sentence,
        want=["pattern", *(f"blocks.0.attn.hook_{name}" for name in ("rot_q", "rot_k", "v", "z"))],
    )
    maps = torch.stack(
        [_seen[f"blocks.{layer}.attn.hook_pattern"][0] for layer in range(2)]
    )  # layer, head, query, key

    # One head of layer 0 by hand: queries times keys, no look ahead, softmax, mean of values.
    # "rot": the place of each token is worked into its query and key already.
    _q, _k, _v, _z = (
        _seen[f"blocks.0.attn.hook_{name}"][0, :, 0] for name in ("rot_q", "rot_k", "v", "z")
    )
    _future = torch.ones(len(_q), len(_q), dtype=torch.bool).triu(1)
    by_hand = (_q @ _k.T / _q.shape[-1] ** 0.5).masked_fill(_future, -torch.inf).softmax(-1)
    apart = max((by_hand - maps[0, 0]).abs().max().item(), (by_hand @ _v - _z).abs().max().item())
    assert apart < 1e-4, "attention by hand must equal the package's"

    _windows = torch.tensor(test[: len(test) // 97 * 97].reshape(-1, 97))

    def _nats(*edits):
        logits = trace(_network, _windows[:, :-1], edit=edits).logits
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), _windows[:, 1:].flatten()
        ).item()

    _whole = _nats()
    _scale = bits(1.0) * (len(test) - 1)  # nats per token to bits per byte
    head_costs = np.array(
        [
            [
                _scale * (_nats(Edit.zero(f"blocks.{layer}.attn.hook_z", heads=[head])) - _whole)
                for head in range(4)
            ]
            for layer in range(2)
        ]
    )
    print("Attention by hand is the same as the package's.")
    return apart, head_costs, maps, sentence


@app.cell
def _(guess_7, guessed, head_costs, maps, piece, plt, sentence):
    if guessed(guess_7, head_costs.max(), "bits per byte"):
        _layer, _head = divmod(int(head_costs.argmax()), 4)
        print("Each head alone, by layer:")
        for _row in head_costs:
            print("   ".join(f"{cost:+.3f}" for cost in _row))
        _, _axes = plt.subplots(figsize=(6.4, 5.6))
        _axes.imshow(maps[_layer, _head].numpy(), cmap="Blues", vmin=0, vmax=1)
        _labels = [piece(token) for token in sentence[0].tolist()]
        _axes.set_xticks(range(len(_labels)), _labels, rotation=90)
        _axes.set_yticks(range(len(_labels)), _labels)
        _axes.grid(visible=False)
        _axes.set(xlabel="looks at", ylabel="token")
        _axes.set_title(
            f"Where the most important head looks: layer {_layer}, head {_head}, both counted from 0"
        )
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Read the map by rows: a dark square says where this token fetches from. ⚠️ A map shows where a head looks, not whether that matters. So we
    switched heads off as well. [Look inside](../docs/look-inside.md) does both for any model, in a page that you can click.

    ## 8. A parameter is a knob

    Training moves all parameters at once, each by its **slope**: how fast the result moves with that parameter. Can one trust a slope? Turn a
    single parameter, and watch a single probability.

    Before the logits the network multiplies its 96 numbers by 96 scales. They are parameters too, and after training they lie
    between 0 and 1. We take the one with the steepest slope, at the end of a test sentence.

    🎯 Your guess: we add 0.5 to this one scale. By how many percentage points does the probability of the likeliest next token change?
    """)
    return


@app.cell
def _():
    guess_8 = None  # percentage points
    return (guess_8,)


@app.cell
def _(networks, np, piece, sentence, torch):
    _network, _knobs = networks[0], networks[0].final_norm.weight
    _target = int(_network(sentence)[0, -1].argmax())

    def _probability():
        return _network(sentence)[0, -1].softmax(-1)[_target]

    _network.zero_grad()
    _probability().backward()  # the slope of each knob
    _place = int(_knobs.grad.abs().argmax())
    slope = _knobs.grad[_place].item()
    _network.zero_grad()

    def turned(amount):
        """Return the probability with the knob turned, and turn it back."""
        with torch.no_grad():
            kept = _knobs[_place].item()
            _knobs[_place] = kept + amount
            result = _probability().item()
            _knobs[_place] = kept
        return result

    unchanged = turned(0.0)
    nudged = (turned(0.001) - unchanged) / 0.001
    amounts = np.linspace(-4, 4, 41)
    by_turn = [turned(amount) for amount in amounts]
    watched = piece(_target)
    print(f"The likeliest token is {watched!r}. One parameter was turned forty times.")
    return amounts, by_turn, nudged, slope, turned, unchanged, watched


@app.cell
def _(amounts, by_turn, guess_8, guessed, plt, slope, turned, unchanged, watched):
    if guessed(guess_8, 100 * (turned(0.5) - unchanged), f"percentage points, for {watched!r}"):
        _, _axes = plt.subplots()
        _axes.plot(
            amounts, [100 * p for p in by_turn], marker="", label="computed again for each turn"
        )
        _line = [100 * (unchanged + slope * amount) for amount in amounts]
        _axes.plot(amounts, _line, "--", marker="", label="predicted from the slope")
        _axes.set(xlabel="added to the parameter", ylabel="probability (%)", ylim=(-5, 105))
        _axes.set_title("For small turns the slope is right, for large ones it is not")
        _axes.legend()
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 9. Spam, in three ages

    Before networks like this one, a program was made for one task. Take spam, in three ages.

    **The age of rules.** A person writes what to look for. **The age of chosen features.** A person chooses what to measure, such as how many
    digits a message has, and labels set the threshold. **The age of learning.** Nobody says what matters: the program counts which words come
    with which label. This is **naive Bayes**.

    The messages are ours, made of phrases, and a bit tricky. Friends write "free" and telephone numbers too, and spammers write
    "fr33". The real ones are in [ladder-spam](findings/ladder-spam.md).

    🎯 Your rule: which words give spam away? List up to eight, in lower case. That is your guess, and the program waits for it.
    """)
    return


@app.cell
def _():
    my_words = None  # for example ["prize", "cash"]
    return (my_words,)


@app.cell
def _(random):
    _draw = random.Random(0)
    _friends = [
        "are you free {day}?", "call me when you can", "i will be there at {hour}", "did you win the match?",
        "please bring the {thing}", "see you {day}", "the {thing} is on offer, shall i get one?", "ok, thanks a lot",
        "my new number is {number}", "mum asks if you are coming {day}", "cash or card for the {thing}?",
    ]  # fmt: skip
    _spammers = [
        "you have won a {prize}!", "urgent! call {number} now", "claim your {prize} before {day}", "txt win to {short}",
        "congratulations, a {prize} is waiting", "guaranteed offer, only {hour} left", "reply yes to {short}, ends {day}",
        "you were chosen for a {prize}", "lose weight by {day}, ask {number}", "are you free {day}?", "see you {day}",
    ]  # fmt: skip
    _slots = {
        "day": ["monday", "tonight", "sunday", "tomorrow"], "thing": ["cake", "bike", "tent", "radio"],
        "prize": ["holiday", "cash award", "free phone", "mystery gift"], "hour": ["8 pm", "9:30", "12 hours", "noon"],
    }  # fmt: skip
    _disguised = str.maketrans("aeios", "43105")  # spammers write fr33 to pass a filter

    def _message(phrases):
        slots = {name: _draw.choice(choices) for name, choices in _slots.items()}
        slots |= {
            "number": f"0{_draw.randrange(10**9):09d}",
            "short": str(_draw.randrange(80000, 89999)),
        }
        words = " ".join(_draw.sample(phrases, 2)).format(**slots).split()
        hides = phrases is _spammers
        return " ".join(
            word.translate(_disguised) if hides and _draw.random() < 0.4 else word for word in words
        )

    _labelled = [(_message(_spammers), 1) for _ in range(200)] + [
        (_message(_friends), 0) for _ in range(200)
    ]
    _draw.shuffle(_labelled)
    learned_from, tested_on = _labelled[:24], _labelled[24:]  # labels are dear
    for _text, _label in learned_from[:6]:
        print("spam  " if _label else "friend", _text)
    return learned_from, tested_on


@app.cell
def _(NaiveBayes, learned_from, my_words, np, plt, tested_on):
    _texts, _labels = ([each[at] for each in learned_from] for at in (0, 1))
    _truth = np.array([label for _, label in tested_on])

    def _digits(text):
        return sum(character.isdigit() for character in text)

    def _right(answers):
        return 100 * float((np.array(answers) == _truth).mean())

    def _with_digits(limit, messages):
        return [int(_digits(text) >= limit) for text, _ in messages]

    # The threshold that is right most often on the labelled messages.
    _limit = max(
        range(1, 20), key=lambda limit: sum(np.array(_with_digits(limit, learned_from)) == _labels)
    )
    _bayes = NaiveBayes(1).fit(_texts, _labels)
    ages = {
        "chosen feature: digits": _right(_with_digits(_limit, tested_on)),
        "learned from labels": _right(
            _bayes.predict_proba([text for text, _ in tested_on]).argmax(1)
        ),
    }
    if my_words is None:
        print("Your words first: set them in the cell above. Then run this cell again.")
    else:
        _rule = _right(
            [int(any(word in text.lower() for word in my_words)) for text, _ in tested_on]
        )
        ages = {"your rule": _rule} | ages
        for _name, _score in ages.items():
            print(f"{_name}: right for {_score:.0f}% of {len(tested_on)} new messages")
        _, _axes = plt.subplots(figsize=(7, 2.2))
        _axes.barh(list(ages)[::-1], list(ages.values())[::-1])
        _axes.axvline(50, color="C5", linestyle=":", label="a coin")
        _axes.set(xlim=(0, 105), xlabel="right (%)")
        _axes.set_title("Who does the work?")
        _axes.legend(loc="lower right")
        plt.show()
    return (ages,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Look at who did the work. For the rule it was you, all of it. For the feature it was you, and two dozen labels. For the last one it was
    the labels alone. A language model goes one step further: it learns from plain text, without labels, and then serves many tasks.

    Further is not always better. On thousands of real messages, [our small model](findings/ladder-spam.md) is not shown to beat a
    classifier that counts words and adds up a weight for each. But ask both for a story.

    ## 10. Three big words

    **Large.** Yours has 400,000 parameters, and a text of 150,000 tokens. GPT-3 has 175 billion, and has read 300 billion tokens. It works in the same way. The two
    belong together: [more parameters help more where there is more text](findings/scaling.md).

    **Understands.** What can a test say? It can ask about a fact in other words, put a `not` into the question, or ask for what no text says.
    The small model of [these tests](findings/limits.md) often fails in all three, and nearly always answers in correct sentences. So the grammar of an answer is no proof of its truth. ⚠️ Nor is a
    failure of one model one of all models. What it is like to be one, no test of ours can say.

    **Knows.** Where are the facts from? Two models learned to answer from the same conversations. One had read the stories before, the other began at random.
    Asked for facts that no conversation held, [only the first knew many of them](findings/ladder-respond.md). That is what pretraining gives.

    💡 It also decides *what* a model knows. A small model made for one world [predicts its stories better](findings/crossover.md) than a published
    one. The published one is hundreds of times as large, and has read a good part of the web. Ask the small one about anything else, and it
    tells you of somebody and his mouse.

    **What to keep.** ⭐ A language model gives probabilities to what comes next, and its loss on unseen text says how well. Counting is a strong
    beginning. Gradient descent comes close to the same numbers, and it also trains networks, where nothing can be counted. Attention carries the context. And before you say that one method beats
    another, ask how often each has read its text.

    ## 11. Exercises

    1. If N tokens are equally likely, the loss is the logarithm of N. The **perplexity** goes back, from a loss in nats to this N.
       Write `perplexity(loss)`.
    2. Write `bits_per_byte(nats, text)` for a text with a total loss of `nats`.
    3. Write `logits_gradient(logits, target)`, the gradient of the loss of one token by its logits. `target` is the token that came. Section 5
       has the rule; for a single token the counted frequency is 1 for the one that came, and 0 for all others.
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
def _(bits_per_byte, logits_gradient, math, perplexity, torch):
    def check(perplexity, bits_per_byte, logits_gradient):
        """Return which of the three exercises are solved."""
        values = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
        torch.nn.functional.cross_entropy(values[None], torch.tensor([2])).backward()
        solved = []
        if perplexity(math.log(7)) is not None and math.isclose(perplexity(math.log(7)), 7):
            solved.append(1)
        per_byte = bits_per_byte(8.0, "äb")
        if per_byte is not None and math.isclose(per_byte, 8 / math.log(2) / 3):
            solved.append(2)
        mine = logits_gradient(values.detach().clone(), 2)
        if mine is not None and mine.shape == values.shape and torch.allclose(mine, values.grad):
            solved.append(3)
        return solved

    print(
        f"Solved so far: {', '.join(map(str, check(perplexity, bits_per_byte, logits_gradient))) or 'none yet'}."
    )
    return (check,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    <details>
    <summary>Solutions</summary>

    ```python
    def perplexity(loss):
        return math.exp(loss)

    def bits_per_byte(nats, text):
        return nats / math.log(2) / len(text.encode("utf-8"))

    def logits_gradient(logits, target):
        gradient = logits.softmax(-1)
        gradient[target] -= 1.0  # probability minus frequency
        return gradient
    ```

    </details>
    """)
    return


if __name__ == "__main__":
    app.run()
