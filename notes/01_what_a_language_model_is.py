"""Chapter 1: what a language model is. Open it with: marimo edit notes/01_what_a_language_model_is.py"""

import marimo

app = marimo.App(width="medium", app_title="What a language model is")


@app.cell
def _():
    import math
    import random
    from collections import Counter, defaultdict

    import marimo as mo
    import numpy as np
    import plotly.graph_objects as go
    import torch

    from scratchlm import storyworld
    from scratchlm.classic.bayes import NaiveBayes
    from scratchlm.classic.ngram_fast import KneserNey
    from scratchlm.classic.smoothing import AddK
    from scratchlm.data.batches import ArrayTokens, Batch, WindowBatches
    from scratchlm.evaluation.bits import held_out_loss
    from scratchlm.model.decoder import build_decoder
    from scratchlm.model.presets import tiny
    from scratchlm.tokens.base import END_OF_TEXT
    from scratchlm.tokens.fast import FastBPE
    from scratchlm.training.config import AdamWConfig, MuonConfig, TrainingConfig
    from scratchlm.training.loop import Loop
    from scratchlm.training.loss import next_token_loss

    return (
        AddK,
        AdamWConfig,
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
        go,
        held_out_loss,
        math,
        mo,
        next_token_loss,
        np,
        random,
        storyworld,
        tiny,
        torch,
    )


@app.cell
def _(mo):
    mo.md("""
    # Chapter 1: what a language model is

    ⭐ A language model gives every token that could come next a probability; the probabilities sum to 1. Everything else,
    writing, answering, translating, follows from calling it again and again.

    This chapter builds one three times: by **counting**, by **gradient descent** to the same numbers, and as a
    **network** that uses longer context than any count. Each time the simplest code comes first, then the package's own
    function, which must give the same numbers. Nothing is downloaded; every number is computed while you read.

    Signs: ⭐ important, 💡 key concept or tip, ⚠️ common mistake, 🎯 a question to answer before you go on.
    """)
    return


@app.cell
def _(END_OF_TEXT, FastBPE, np, storyworld):
    stories = list(storyworld.stories(600_000, seed=2))
    tokenizer = FastBPE.train(stories[:-40], 600)
    end = tokenizer.specials[END_OF_TEXT]
    size = tokenizer.vocabulary_size

    def encode(texts):
        return np.concatenate([np.append(ids, end) for ids in tokenizer.encode_batch(texts)]).astype(np.int64)

    train, held_out = encode(stories[:-40]), encode(stories[-40:])
    held_out_bytes = sum(len(text.encode()) for text in stories[-40:])
    print(f"{len(train):,} training tokens, {len(held_out):,} held-out tokens, a vocabulary of {size:,}")
    print(stories[-1][:300])
    return end, held_out, held_out_bytes, size, stories, tokenizer, train


@app.cell
def _(mo):
    mo.md("""
    ## 1. By counting

    How often does each token follow each other token? Divide by how often anything follows it: the result is a bigram
    language model. ⚠️ An unseen pair would have probability zero, and so would every text that contains it. Add-k smoothing
    therefore adds `k` to every count.
    """)
    return


@app.cell
def _(AddK, Counter, defaultdict, math, np, size, tokenizer, train):
    k = 0.1
    followers = defaultdict(Counter)
    for one, other in zip(train[:-1].tolist(), train[1:].tolist(), strict=True):
        followers[one][other] += 1

    def probability(token, before):
        """Return the probability of a token after another one, from the counts."""
        counts = followers[before]
        return (counts[token] + k) / (counts.total() + k * size)

    little = tokenizer.encode(" little")[-1]
    together = sum(probability(token, little) for token in range(size))
    best = [
        (tokenizer.token_bytes(token).decode(), probability(token, little))
        for token, _ in followers[little].most_common(5)
    ]
    print("after ' little':", ", ".join(f"{text!r} {p:.1%}" for text, p in best), f"| all together {together:.6f}")

    # The package's AddK model gives the same numbers on the same tokens.
    package = AddK.fit([train], size, 2, k=k)
    largest = max(
        abs(math.log(probability(token, little)) - math.log(package.probability(token, [little])))
        for token in range(size)
    )
    print(f"largest difference of a log-probability from AddK: {largest:.1e}")
    assert np.isclose(together, 1.0)
    assert largest < 1e-9
    return k, largest, little, package, probability, together


@app.cell
def _(held_out, held_out_bytes, math, mo, package, probability):
    plain_nats = -sum(
        math.log(probability(b, a)) for a, b in zip(held_out[:-1].tolist(), held_out[1:].tolist(), strict=True)
    )
    package_nats = -float(package.token_log_probabilities(held_out)[1:].sum())
    loss = plain_nats / (len(held_out) - 1)
    bits = plain_nats / math.log(2) / held_out_bytes
    mo.md(f"""
    ## 2. Its loss

    ⭐ A model is evaluated by its loss on held-out text: the mean negative log-probability of each actual next token (the
    **cross-entropy**). By hand it is **{loss:.4f}** nats per token; the package computes
    {package_nats / (len(held_out) - 1):.4f}. Divided by the bytes of the text instead of its tokens it is
    **{bits:.3f} bits per byte**, which does not depend on the tokenizer.
    """)
    return bits, loss, package_nats, plain_nats


@app.cell
def _(mo):
    order = mo.ui.slider(1, 6, value=3, label="n of the n-gram model", show_value=True)
    mo.vstack(
        [
            mo.md("""
    ## 3. More context: n-grams

    Why only one token of context? Longer n-grams are more specific but rarer, so their counts are less reliable.
    Kneser-Ney smoothing combines all lengths. 🎯 From which n on does more context no longer help?
    """),
            order,
        ]
    )
    return (order,)


@app.cell
def _(KneserNey, go, held_out, held_out_bytes, math, order, size, train):
    def ngram_bits(length):
        """Return the bits per byte of an n-gram model; `length` is n."""
        model = KneserNey.fit([train], size, length)
        return -float(model.token_log_probabilities(held_out)[1:].sum()) / math.log(2) / held_out_bytes

    by_length = {length: ngram_bits(length) for length in range(1, 7)}
    print(f"{order.value}-grams: {by_length[order.value]:.3f} bits per byte")
    counted = go.Figure(go.Scatter(x=list(by_length), y=list(by_length.values())))
    counted.update_layout(xaxis_title="n", yaxis_title="bits per byte", height=320)
    counted
    return (by_length,)


@app.cell
def _(mo):
    mo.md("""
    ## 4. The same numbers by gradient descent

    Now without counting. A table `W` holds a logit for each pair; the softmax of a row gives the probabilities of the next
    token. It starts at zero, where every token is equally likely. Each step moves it against the gradient of the
    cross-entropy. Each row's gradient is divided by the count of the row, so that rare rows move as fast as common ones.

    💡 The gradient of a row's logits is *probability minus one-hot target*, summed over the occurrences of its token. It is
    zero exactly where the probabilities equal the counted frequencies. So the model converges to these frequencies on the
    same 40,000 tokens, without smoothing (an unseen pair would need a logit of minus infinity). Gradient descent and
    counting lead to the same result, and gradient descent also works where counting is impossible.
    """)
    return


@app.cell
def _(math, size, tokenizer, torch, train):
    pairs = torch.tensor(train[:40_001])
    before, after = pairs[:-1], pairs[1:]
    counts = torch.zeros(size, size).index_put_((before, after), torch.ones(len(before)), accumulate=True)
    totals = counts.sum(1, keepdim=True)
    W = torch.zeros(size, size)
    for _ in range(200):
        probabilities = W.softmax(-1)
        gradient = (probabilities * totals - counts) / totals.clamp(min=1)  # by hand: probability minus one-hot target
        W -= 4.0 * gradient
    cost = torch.nn.functional.cross_entropy(W[before], after).item()
    least = -(counts * (counts / totals.clamp(min=1)).clamp(min=1e-12).log()).sum().item() / len(before)
    print(f"every token equally likely: {math.log(size):.3f} nats; after 200 steps {cost:.3f}; by counting {least:.3f}")

    for _pair in counts.flatten().topk(3).indices.tolist():
        _first, _then = divmod(_pair, size)
        _one, _other = (tokenizer.token_bytes(id).decode("utf-8", "replace") for id in (_first, _then))
        _counted, _learned = (counts / totals.clamp(min=1))[_first, _then], W.softmax(-1)[_first, _then]
        print(f"{_other!r} after {_one!r}: counted {_counted:.4f}, learned {_learned:.4f}")

    # The gradient by hand equals autograd's.
    checked = W.clone().requires_grad_()
    torch.nn.functional.cross_entropy(checked[before], after, reduction="sum").backward()
    by_hand = W.softmax(-1) * totals - counts
    gap = (checked.grad - by_hand).abs().max().item()
    print(f"largest difference from autograd's gradient: {gap:.1e}")
    return cost, gap, least


@app.cell
def _(mo):
    steps = mo.ui.slider(100, 1000, step=100, value=400, label="training steps", show_value=True)
    mo.vstack(
        [
            mo.md("""
    ## 5. A network

    A transformer computes the logits from *all* earlier tokens, not from a table row. Its objective is the same: the
    cross-entropy of the next token. Below it is computed by hand for one batch and compared with the loss that training
    uses; then the network is trained.
    """),
            steps,
        ]
    )
    return (steps,)


@app.cell
def _(
    AdamWConfig,
    ArrayTokens,
    Batch,
    Loop,
    MuonConfig,
    TrainingConfig,
    WindowBatches,
    build_decoder,
    held_out,
    held_out_loss,
    math,
    next_token_loss,
    size,
    steps,
    tiny,
    tokenizer,
    torch,
    train,
):
    network = build_decoder(tiny(size), seed=1)
    window = torch.tensor(train[:65])[None]
    with torch.no_grad():
        logits = network(window[:, :-1])
        written_out = -sum(
            math.log(logits[0, at].softmax(-1)[window[0, at + 1]].item()) for at in range(window.size(1) - 1)
        )
        used = next_token_loss(network, Batch(window[:, :-1], window[:, 1:])).item()
    print(f"loss of one window by hand {written_out:.4f}, as training computes it {used:.4f}")

    start = held_out_loss(network, tokenizer, ArrayTokens(held_out))
    optimizer = MuonConfig(learning_rate=0.03, adam=AdamWConfig(learning_rate=0.01, weight_decay=0.0))
    training = TrainingConfig(steps=steps.value, batch_size=8, sequence_length=96, optimizer=optimizer)
    for _step in Loop(network, WindowBatches(ArrayTokens(train), 8, 96, seed=1), training).steps():
        pass
    trained = held_out_loss(network, tokenizer, ArrayTokens(held_out))
    return network, start, trained, used, written_out


@app.cell
def _(by_length, mo, start, trained):
    best_counted = min(by_length.values())
    mo.md(f"""
    Its loss is {start.bits_per_byte:.3f} bits per byte before training and
    **{trained.bits_per_byte:.3f}** after; the best n-gram model has {best_counted:.3f}. {
        "It beats the n-grams"
        if trained.bits_per_byte < best_counted
        else "The n-grams are still better: move the slider to train longer"
    }. On real books, after one epoch, the lead over
    n-grams is small: see the page of findings.
    """)
    return (best_counted,)


@app.cell
def _(mo):
    turn = mo.ui.slider(-2.0, 2.0, step=0.25, value=0.5, label="change one parameter by", show_value=True)
    mo.vstack(
        [
            mo.md("""
    ## 6. Parameters

    ⭐ A parameter is a number that training adjusts. Change one by hand and watch a probability change. The gradient
    predicts how far, for a small change.
    """),
            turn,
        ]
    )
    return (turn,)


@app.cell
def _(network, tokenizer, torch, turn):
    prompt = torch.tensor([tokenizer.encode("Once upon a")])
    target = tokenizer.encode(" time")[0]

    def probability_of_target():
        return network.eval()(prompt)[0, -1].softmax(-1)[target]

    network.zero_grad()
    parameter = network.final_norm.weight
    probability_of_target().backward()
    place = int(parameter.grad.abs().argmax())
    slope = parameter.grad[place].item()
    with torch.no_grad():
        unchanged = probability_of_target().item()
        parameter[place] += turn.value
        changed = probability_of_target().item()
        parameter[place] += 0.001 - turn.value
        nudged = (probability_of_target().item() - unchanged) / 0.001
        parameter[place] -= 0.001
    network.zero_grad()
    print(
        f"{sum(p.numel() for p in network.parameters()):,} parameters; entry {place} of the last norm is changed by {turn.value}:"
    )
    print(f"probability of the next token from {unchanged:.4f} to {changed:.4f}")
    print(f"slope by the gradient {slope:.4f}, by a change of 0.001 {nudged:.4f}")
    return nudged, slope


@app.cell
def _(mo):
    mo.md("""
    ## 7. Before language models: hand-made features

    Is this sentence in order, or were its words shuffled? A classifier on single words cannot tell: both have the same
    words. Somebody has to add pairs of words as features.
    🎯 Which features distinguish a question from a statement? And who would have to design them for every new task?
    """)
    return


@app.cell
def _(NaiveBayes, np, random, storyworld, stories):
    draw = random.Random(0)
    sentences = [
        s for text in stories for s in storyworld.sentences(text) if 6 <= len(s.split()) <= 14 and '"' not in s
    ]
    draw.shuffle(sentences)

    def shuffled(sentence):
        words = sentence.lower().strip(".!?").split()
        draw.shuffle(words)
        return " ".join(words)

    texts = [s.lower().strip(".!?") for s in sentences[:3000]] + [shuffled(s) for s in sentences[3000:6000]]
    labels = [1] * 3000 + [0] * 3000
    places = draw.sample(range(6000), 6000)
    learned, tested = places[:4500], places[4500:]
    right = {}
    for longest in (1, 2):
        model = NaiveBayes(longest).fit([texts[i] for i in learned], [labels[i] for i in learned])
        guesses = model.predict_proba([texts[i] for i in tested]).argmax(1)
        right[longest] = float(np.mean(guesses == np.array([labels[i] for i in tested])))
    print(f"accuracy from single words {right[1]:.1%}, with pairs of words as features {right[2]:.1%}")
    return (right,)


@app.cell
def _(mo):
    mo.md("""
    ## Exercises

    1. Write `perplexity(loss)`: the number of equally likely tokens with a loss of `loss` nats.
    2. Write `bits_per_byte(nats, text)` for a text with a total loss of `nats`.
    3. Write `scores_gradient(scores, target)`: the gradient of the cross-entropy of the logits `scores` with respect to
       them. It has the shape of `scores`.

    Replace the function bodies below; the check runs at once. The solutions are in the last cell.
    """)
    return


@app.cell
def _():
    def perplexity(loss):
        return None  # yours

    def bits_per_byte(nats, text):
        return None  # yours

    def scores_gradient(scores, target):
        return None  # yours

    return bits_per_byte, perplexity, scores_gradient


@app.cell
def _(math, torch):
    def check(perplexity, bits_per_byte, scores_gradient):
        """Return which of the three exercises are solved."""
        values = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
        torch.nn.functional.cross_entropy(values[None], torch.tensor([2])).backward()
        found = []
        if perplexity(math.log(7)) is not None and math.isclose(perplexity(math.log(7)), 7):
            found.append(1)
        if bits_per_byte(8.0, "äb") is not None and math.isclose(bits_per_byte(8.0, "äb"), 8 / math.log(2) / 3):
            found.append(2)
        mine = scores_gradient(values.detach(), 2)
        if mine is not None and mine.shape == values.shape and torch.allclose(mine, values.grad):
            found.append(3)
        return found

    return (check,)


@app.cell
def _(bits_per_byte, check, mo, perplexity, scores_gradient):
    solved_by_reader = check(perplexity, bits_per_byte, scores_gradient)
    mo.md(f"Solved so far: {', '.join(map(str, solved_by_reader)) or 'none yet'}.")
    return


@app.cell
def _(check, math):
    def _perplexity(loss):
        return math.exp(loss)

    def _bits_per_byte(nats, text):
        return nats / math.log(2) / len(text.encode("utf-8"))

    def _scores_gradient(scores, target):
        gradient = scores.softmax(-1)
        gradient[target] -= 1.0
        return gradient

    solved = check(_perplexity, _bits_per_byte, _scores_gradient)
    return (solved,)


if __name__ == "__main__":
    app.run()
