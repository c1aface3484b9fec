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

    ⭐ A language model gives every token that could come next a probability, all of them together being 1. Everything
    else, writing, answering, translating, follows from asking it again and again.

    This chapter builds one three times: by **counting**, by **descending a gradient** to the same numbers, and as a
    **network** that sees further than any count. Each time the plainest code comes first, then the package's own
    function, which must give the same. Nothing is downloaded; every number is computed while you read.

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
    print(f"{len(train):,} tokens to learn from, {len(held_out):,} held out, a vocabulary of {size:,}")
    print(stories[-1][:300])
    return end, held_out, held_out_bytes, size, stories, tokenizer, train


@app.cell
def _(mo):
    mo.md("""
    ## 1. By counting

    How often did each token follow each other one? Divide by how often anything followed it, and there is a language
    model. ⚠️ A pair that was never seen would be impossible, and one impossible token makes a whole text impossible. So
    every pair is given `k` more occurrences than it had (add-k).
    """)
    return


@app.cell
def _(AddK, Counter, defaultdict, math, np, size, tokenizer, train):
    k = 0.1
    followers = defaultdict(Counter)
    for one, other in zip(train[:-1].tolist(), train[1:].tolist(), strict=True):
        followers[one][other] += 1

    def chance(token, before):
        """Return the probability of a token after one other, by counting."""
        counts = followers[before]
        return (counts[token] + k) / (counts.total() + k * size)

    little = tokenizer.encode(" little")[-1]
    together = sum(chance(token, little) for token in range(size))
    best = [
        (tokenizer.token_bytes(token).decode(), chance(token, little)) for token, _ in followers[little].most_common(5)
    ]
    print(
        "after ' little':", ", ".join(f"{text!r} {share:.1%}" for text, share in best), f"| all together {together:.6f}"
    )

    # The package's own, on the same tokens, gives the same numbers.
    package = AddK.fit([train], size, 2, k=k)
    largest = max(
        abs(math.log(chance(token, little)) - math.log(package.probability(token, [little]))) for token in range(size)
    )
    print(f"largest difference of a logarithm from AddK: {largest:.1e}")
    assert np.isclose(together, 1.0)
    assert largest < 1e-9
    return chance, k, largest, little, package, together


@app.cell
def _(chance, held_out, held_out_bytes, math, mo, package):
    plain_nats = -sum(
        math.log(chance(b, a)) for a, b in zip(held_out[:-1].tolist(), held_out[1:].tolist(), strict=True)
    )
    package_nats = -float(package.token_log_probabilities(held_out)[1:].sum())
    loss = plain_nats / (len(held_out) - 1)
    bits = plain_nats / math.log(2) / held_out_bytes
    mo.md(f"""
    ## 2. What it pays

    ⭐ A model is judged by what it pays for text it has not seen: minus the logarithm of the probability of each token
    that really came (the **cross-entropy**). By hand **{loss:.4f}** nats a token; the package says
    {package_nats / (len(held_out) - 1):.4f}. Divided by the bytes of the text instead of its tokens it is
    **{bits:.3f} bits per byte**, which does not depend on how the text was cut.
    """)
    return bits, loss, package_nats, plain_nats


@app.cell
def _(mo):
    order = mo.ui.slider(1, 6, value=3, label="tokens of a gram", show_value=True)
    mo.vstack(
        [
            mo.md("""
    ## 3. More context, by counting

    Why only one token of context? With longer runs each is seen more seldom: what is gained in sharpness is lost in
    evidence. Kneser-Ney smoothing mixes all lengths. 🎯 From which length on does more context no longer pay?
    """),
            order,
        ]
    )
    return (order,)


@app.cell
def _(KneserNey, go, held_out, held_out_bytes, math, order, size, train):
    def pays(length):
        """Return the bits per byte of counted runs of a length."""
        model = KneserNey.fit([train], size, length)
        return -float(model.token_log_probabilities(held_out)[1:].sum()) / math.log(2) / held_out_bytes

    by_length = {length: pays(length) for length in range(1, 7)}
    print(f"runs of {order.value}: {by_length[order.value]:.3f} bits per byte")
    counted = go.Figure(go.Scatter(x=list(by_length), y=list(by_length.values())))
    counted.update_layout(xaxis_title="tokens of a run", yaxis_title="bits per byte", height=320)
    counted
    return (by_length,)


@app.cell
def _(mo):
    mo.md("""
    ## 4. The same numbers by descending a gradient

    Now without counting. A table `W` holds a score for each pair; the probability of what follows is the softmax of a row.
    It begins at zero, every token equally likely, and each step moves it against the gradient of the cross-entropy. Each
    row's gradient is divided by how often the row was met, so that rare rows move as fast as common ones.

    💡 The gradient by a row's scores is *probability minus what came*, summed over the occurrences of its token: it is
    zero exactly where the probabilities are the shares that were counted. The model comes nearer and nearer to the
    shares on the same 40,000 tokens, without smoothing (a pair that was never seen would need a score of minus
    infinity). Learning by gradient and counting are two roads to one place, and the gradient road goes on where counting
    ends.
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
        gradient = (probabilities * totals - counts) / totals.clamp(min=1)  # by hand: probability minus what came
        W -= 4.0 * gradient
    cost = torch.nn.functional.cross_entropy(W[before], after).item()
    least = -(counts * (counts / totals.clamp(min=1)).clamp(min=1e-12).log()).sum().item() / len(before)
    print(f"every token equally likely: {math.log(size):.3f} nats; after 200 steps {cost:.3f}; by counting {least:.3f}")

    for _pair in counts.flatten().topk(3).indices.tolist():
        _first, _then = divmod(_pair, size)
        _one, _other = (tokenizer.token_bytes(id).decode("utf-8", "replace") for id in (_first, _then))
        _counted, _learned = (counts / totals.clamp(min=1))[_first, _then], W.softmax(-1)[_first, _then]
        print(f"{_other!r} after {_one!r}: counted {_counted:.4f}, learned {_learned:.4f}")

    # The gradient by hand is that of autograd.
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

    A transformer computes the scores from *all* tokens before, not from a table row. Its objective is the same line: the
    cross-entropy of the next token. Below it is written out by hand for one batch and compared with the loss that
    training uses; then the network is trained.
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
        scores = network(window[:, :-1])
        written_out = -sum(
            math.log(scores[0, at].softmax(-1)[window[0, at + 1]].item()) for at in range(window.size(1) - 1)
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
    Untrained it costs {start.bits_per_byte:.3f} bits per byte, trained **{trained.bits_per_byte:.3f}**; the best of the
    counted models {best_counted:.3f}. {
        "It has overtaken counting"
        if trained.bits_per_byte < best_counted
        else "Counting is still ahead: move the slider to train longer"
    }. On real books, read once, the lead over counting
    is small: see the page of this chapter.
    """)
    return (best_counted,)


@app.cell
def _(mo):
    turn = mo.ui.slider(-2.0, 2.0, step=0.25, value=0.5, label="turn one parameter by", show_value=True)
    mo.vstack(
        [
            mo.md("""
    ## 6. The knobs

    ⭐ A parameter is a number that training may turn. Turn one by hand and watch a probability move; the gradient foretells
    how far, for a small turn.
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
    knob = network.final_norm.weight
    probability_of_target().backward()
    place = int(knob.grad.abs().argmax())
    slope = knob.grad[place].item()
    with torch.no_grad():
        resting = probability_of_target().item()
        knob[place] += turn.value
        turned = probability_of_target().item()
        knob[place] += 0.001 - turn.value
        nudged = (probability_of_target().item() - resting) / 0.001
        knob[place] -= 0.001
    network.zero_grad()
    print(
        f"{sum(p.numel() for p in network.parameters()):,} knobs; number {place} of the last norm, turned by {turn.value}:"
    )
    print(f"probability of the next piece from {resting:.4f} to {turned:.4f}")
    print(f"slope by the gradient {slope:.4f}, by a turn of a thousandth {nudged:.4f}")
    return nudged, slope


@app.cell
def _(mo):
    mo.md("""
    ## 7. What came before: features made by hand

    Is this sentence in order, or were its words shuffled? A classifier that counts single words cannot tell: both have the
    same words. Somebody has to think of pairs of words and make features of them.
    🎯 Which features would tell a question from a statement? And who would have to think of them for every new task?
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
    print(f"from its words {right[1]:.1%} right, with pairs of words as features {right[2]:.1%}")
    return (right,)


@app.cell
def _(mo):
    mo.md("""
    ## Exercises

    1. Write `perplexity(loss)`: between how many equally likely tokens does a model hesitate that pays `loss` nats?
    2. Write `bits_per_byte(nats, text)` for a text that cost `nats` altogether.
    3. Write `scores_gradient(scores, target)`: the gradient of minus the logarithm of the softmax's probability of
       `target`. It has the shape of `scores`.

    Replace the bodies below; the checks tell at once. Solutions stand in the last cell.
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
