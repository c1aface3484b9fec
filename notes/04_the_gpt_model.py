"""Chapter 4: the GPT model, block by block. Open it with: marimo edit notes/04_the_gpt_model.py"""

import marimo

app = marimo.App(width="medium", app_title="The GPT model")


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # The GPT model, block by block

    A GPT fits on a page: a table of vectors, a stack of equal blocks, and the table once more. Each part is a few lines. Why each of them is
    there is the harder question, and this chapter asks it of every part: *what would break without you?*

    You build the parts, compare each with PyTorch or with this package, put them together, and count what they weigh. At the end one part after the
    other is taken out, and five curves in one picture say what it was worth.

    ⭐ **Guess before you look.** Set `guess_1` and the others, and only then does a result appear. Write `"skip"` where you would rather not. You need
    [chapter 3](03_attention.ipynb): attention is a part that we take as it is. It takes about a minute to compute. The signs mean the same on
    [every page](README.md#signs).
    """)
    return


@app.cell
def _():
    import math

    import marimo as mo
    import matplotlib.pyplot as plt
    import torch
    from torch import nn
    from torch.nn import functional as F

    from scratchlm.lab.course.guessing import guessed
    from scratchlm.lab.harness.outcome import read_outcome
    from scratchlm.lab.harness.plots import STYLE
    from scratchlm.lab.quiz.cards import notes_folder
    from scratchlm.model import minimal
    from scratchlm.model.decoder import build_decoder
    from scratchlm.model.positions import plain_rotate, rope_table
    from scratchlm.model.presets import gpt2

    plt.rcParams.update(STYLE | {"figure.figsize": (7, 3.2), "figure.constrained_layout.use": True})
    torch.set_printoptions(precision=2, sci_mode=False)
    return (
        F, build_decoder, gpt2, guessed, math, minimal, mo, nn, notes_folder, plain_rotate, plt, read_outcome, rope_table,
        torch,
    )  # fmt: skip


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 1. From numbers to vectors

    Token 3 is not more than token 2. It is only another one. So a model may not calculate with the number itself. It takes row 3 of a table, the **embedding**: a vector of
    **parameters**, numbers that training adjusts.

    There is another way to see it. Write a token as a vector of zeros with a single 1 at its place. That is called **one-hot**. Times the table, it gives the same row. So the embedding is a matrix product like any
    other, and it has gradients like any other. Looking up is only the fast way, as nobody needs to multiply by zeros.

    At the end the same table serves again. The last vector of a position is multiplied with each row. The token whose row fits best gets the highest **logit**. One table, read
    in both directions: this is called a **tied head**.

    🎯 Your guess: the smallest GPT-2 has 50,257 tokens, a width of 768, and 124 million parameters. How many percent of them are in this table?
    """)
    return


@app.cell
def _():
    guess_1 = None  # percent
    return (guess_1,)


@app.cell
def _(F, build_decoder, gpt2, torch):
    torch.manual_seed(0)
    table = torch.randn(6, 4)  # (V, D): six tokens, four channels
    ids = torch.tensor([3, 0, 3])
    looked_up = table[ids]
    one_hot = F.one_hot(ids, 6).float()  # (T, V)
    lookup_gap = (looked_up - one_hot @ table).abs().max().item()
    assert lookup_gap == 0
    print("One-hot:")
    print(one_hot)
    print("One-hot times table is row 3, row 0, row 3:")
    print(one_hot @ table)

    with torch.device("meta"):  # shapes without numbers: the model takes no memory
        gpt2_counts = {
            name: weight.numel() for name, weight in build_decoder(gpt2(), 0).named_parameters()
        }
    gpt2_total = sum(gpt2_counts.values())
    return gpt2_counts, gpt2_total, lookup_gap


@app.cell
def _(gpt2_counts, gpt2_total, guess_1, guessed):
    table_share = 100 * gpt2_counts["embedding.weight"] / gpt2_total
    guessed(guess_1, table_share, f"percent: {gpt2_counts['embedding.weight']:,} of {gpt2_total:,}")
    return (table_share,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 2. Where am I?

    Attention sees a set. Change the order of the earlier words, and it fetches the same mean. *Dog bites man* and *man bites dog* would be one.

    **Learned positions**, as in GPT-2: a second table with a vector for each place, which is added. Simple, but the table ends, and place 7 knows nothing of place 8.

    **Rotary positions**, as in most models of today: nothing is added. Queries and keys are *turned*, two channels at a time, by an angle that grows with the place. A dot product of
    two turned vectors depends only on the angle *between* them, so on the distance of the two places.

    🎯 Your guess: a query at place 5 and a key at place 3 have a certain score. We move both by 100 places. By how much does the score change?
    """)
    return


@app.cell
def _():
    guess_2 = None  # a number
    return (guess_2,)


@app.cell
def _(math, minimal, plain_rotate, rope_table, torch):
    torch.manual_seed(0)
    # A head without positions: exchange two earlier tokens, and look at the last one.
    _block, _x = minimal.Block(16, 2), torch.randn(1, 5, 16)
    _swapped = _x[:, [1, 0, 2, 3, 4]]
    _places = torch.randn(5, 16)
    order_unseen = (_block.attention(_x) - _block.attention(_swapped))[0, -1].abs().max().item()
    order_seen = (
        (_block.attention(_x + _places) - _block.attention(_swapped + _places))[0, -1]
        .abs()
        .max()
        .item()
    )

    def turned(vector, place, base=10_000.0):
        """Turn the pairs (i, i + half) of a vector by angles that grow with its place."""
        half = len(vector) // 2
        angles = place * base ** (
            -torch.arange(half) / half
        )  # the first pair turns fast, the last slowly
        first, second = vector[:half], vector[half:]
        return torch.cat(
            [
                first * angles.cos() - second * angles.sin(),
                second * angles.cos() + first * angles.sin(),
            ]
        )

    query, key = torch.randn(16), torch.randn(16)
    near, moved = turned(query, 5) @ turned(key, 3), turned(query, 105) @ turned(key, 103)
    farther = turned(query, 5) @ turned(key, 1)
    _tables = tuple(part[5:6] for part in rope_table(8, 16, 10_000.0))
    rotary_gap = (
        (turned(query, 5) - plain_rotate(query[None, None, None], _tables)[0, 0, 0])
        .abs()
        .max()
        .item()
    )
    assert rotary_gap < 1e-5
    assert math.isclose(near, moved, abs_tol=1e-3)
    print(
        f"Two earlier tokens change places. The last output changes by {order_unseen:.6f} without positions,"
    )
    print(
        f"and by up to {order_seen:.2f} with a vector for each place. Turned by hand and by the package: the same."
    )
    return farther, moved, near, order_seen, order_unseen, rotary_gap


@app.cell
def _(farther, guess_2, guessed, moved, near):
    if guessed(guess_2, round(abs((moved - near).item()), 3), "is the change of the score"):
        print(
            f"At a distance of 2 the score is {near:.2f}, here and a hundred places on. At a distance of 4 it is {farther:.2f}."
        )
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 3. The norm

    Blocks add to the vectors, and so vectors grow. The next block would have to cope with any size. **LayerNorm** makes each vector alike: subtract its mean, divide by its standard deviation.
    Then each channel is scaled and shifted by two learned numbers.

    🎯 Your guess: a vector is multiplied by 1,000. How much does its largest channel change *after* the norm?
    """)
    return


@app.cell
def _():
    guess_3 = None  # a number
    return (guess_3,)


@app.cell
def _(F, minimal, torch):
    def layer_norm(x):
        """Give each vector the mean 0 and the variance 1."""
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()

    vector = torch.tensor([1.0, 2.0, 3.0, 6.0])
    normed, normed_large = layer_norm(vector), layer_norm(1000 * vector)
    norm_gap = max(
        (normed - F.layer_norm(vector, (4,))).abs().max().item(),
        (normed - minimal.LayerNorm(4)(vector)).abs().max().item(),
    )
    assert norm_gap < 1e-6
    print("By hand, in torch and in minimal.py the norm gives the same.")
    return norm_gap, normed, normed_large, vector


@app.cell
def _(guess_3, guessed, normed, normed_large, vector):
    if guessed(guess_3, (normed_large - normed)[-1].abs().item(), "is the change"):
        print("before the norm", vector)
        print("after", normed, "of mean 0 and variance 1")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    The size of a vector is forgotten, only its direction stays. ⚠️ The mean runs over the channels of *one* position. Text and neighbours play no part, so that a
    prediction never depends on what else is in the batch.

    Many models of today leave out the mean and the shift, and only divide by the root of the mean square. That is **RMSNorm**. It is a little faster.

    ## 4. The feed-forward

    Attention takes means, and a mean cannot decide anything. The **feed-forward network** decides: it works on one position alone, and is the same for all positions. It goes up to four
    times the width, through a bent function, and down again.

    Without the bend, two matrices in a row would be one matrix, and nothing gained. The bend of GPT-2 is **GELU**: almost 0 for negative numbers, almost *x* for positive ones, and smooth
    in between.

    🎯 Your guess: how many percent of a block's parameters belong to the feed-forward, and not to attention?
    """)
    return


@app.cell
def _():
    guess_4 = None  # percent
    return (guess_4,)


@app.cell
def _(F, math, minimal, nn, torch):
    def gelu(x):
        """Almost 0 well below 0, almost x well above it."""
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    steps_of_x = torch.linspace(-4, 4, 81)
    gelu_gap = (gelu(steps_of_x) - F.gelu(steps_of_x, approximate="tanh")).abs().max().item()
    assert gelu_gap < 1e-6
    _up, _down = nn.Linear(8, 32, bias=False), nn.Linear(32, 8, bias=False)
    _x = torch.randn(5, 8)
    _one_matrix = _x @ (_down.weight @ _up.weight).T
    straight_gap = (_down(_up(_x)) - _one_matrix).abs().max().item()
    assert straight_gap < 1e-5
    _weights = {name.split(".")[0]: 0 for name, _ in minimal.Block(768, 12).named_parameters()}
    for _name, _weight in minimal.Block(768, 12).named_parameters():
        _weights[_name.split(".")[0]] += _weight.numel()
    block_weights = _weights
    print("Without a bend, two matrices give the same as their product, a single one.")
    return block_weights, gelu, gelu_gap, steps_of_x, straight_gap


@app.cell
def _(block_weights, gelu, guess_4, guessed, plt, steps_of_x):
    feed_forward_share = (
        100 * (block_weights["up"] + block_weights["down"]) / sum(block_weights.values())
    )
    if guessed(guess_4, feed_forward_share, "percent of a block of GPT-2"):
        for _part, _count in block_weights.items():
            print(f"{_part:<18} {_count:>10,}")
        _, _axes = plt.subplots(figsize=(5, 2.8))
        _axes.plot(steps_of_x, gelu(steps_of_x), marker="", label="GELU")
        _axes.plot(
            steps_of_x, steps_of_x.clamp(min=0), "--", marker="", label="ReLU, its older cousin"
        )
        _axes.set(xlabel="x", title="The bend")
        _axes.legend()
        plt.show()
    return (feed_forward_share,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Two thirds. Most of a transformer is not attention.

    ## 5. The shortcut

    Each part *adds* its result to what came in: `x = x + attention(norm(x))`. So a vector runs from the first block to the last, and all parts read it and write into it. It is called the **residual stream**.

    Why add, and not hand on the result alone? Two things go wrong. On the way up, each attention takes means, and means of means soon are the same everywhere. On the way down, training sends a **gradient** back from
    the loss to each parameter: how the loss moves with it. Each fresh part shrinks it. With the shortcut, the vector passes each block unchanged on its way up, and so does the gradient on its way down.

    We send sixteen random vectors through twelve fresh blocks. How alike two vectors are is measured by the **cosine** of the angle between them: 0 for unrelated ones, 1 for the same direction.

    🎯 Your guess: after three blocks without the shortcut, what is the mean cosine of two positions?
    """)
    return


@app.cell
def _():
    guess_5 = None  # between 0 and 1
    return (guess_5,)


@app.cell
def _(minimal, nn, torch):
    def through(shortcut, depth=12, channels=64):
        """Send random vectors through fresh blocks; return their mean cosine and the gradient's size before each block."""
        torch.manual_seed(0)
        blocks = minimal.GPT(1, width=channels, layers=depth).blocks
        x, streams, alike = torch.randn(1, 16, channels, requires_grad=True), [], []
        for block in blocks:
            x.retain_grad()
            streams.append(x)
            directions = nn.functional.normalize(x[0], dim=-1)
            cosines = directions @ directions.T  # (T, T), with ones on the diagonal
            alike.append((cosines.sum().item() - 16) / (16 * 15))
            x = (x if shortcut else 0) + block.attention(block.attention_norm(x))
            x = (x if shortcut else 0) + block.down(
                minimal.gelu(block.up(block.feed_forward_norm(x)))
            )
        nn.functional.mse_loss(
            nn.functional.layer_norm(x, (channels,)), torch.randn(1, 16, channels)
        ).backward()
        return alike, [stream.grad.norm().item() for stream in streams]

    alike_with, gradients_with = through(shortcut=True)
    alike_without, gradients_without = through(shortcut=False)
    return alike_with, alike_without, gradients_with, gradients_without


@app.cell
def _(alike_with, alike_without, gradients_with, gradients_without, guess_5, guessed, plt):
    if guessed(guess_5, alike_without[3], f"without the shortcut; with it {alike_with[3]:.2f}"):
        _, (_left, _right) = plt.subplots(1, 2, figsize=(7, 3.2))
        _left.plot(alike_with, marker="o", label="with the shortcut")
        _left.plot(alike_without, marker="o", label="without")
        _left.set(
            xlabel="blocks passed",
            ylabel="mean cosine of two positions",
            title="Up: all become the same",
        )
        _left.legend()
        _right.semilogy(gradients_with, marker="o")
        _right.semilogy(gradients_without, marker="o")
        _right.set(
            xlabel="block, 0 is next to the text",
            ylabel="size of the gradient",
            title="Down: the blame gets lost",
        )
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 6. Put together

    That is all. Here is a whole GPT, from ids to logits. The parts are those of `minimal.py`, which has the same few lines.
    """)
    return


@app.cell
def _(minimal, torch):
    def gpt(model, ids):
        """From ids (B, T) to logits (B, T, V)."""
        x = model.embedding.weight[ids] + model.position_embedding.weight[: ids.shape[1]]
        for block in model.blocks:
            x = x + block.attention(block.attention_norm(x))  # fetch
            x = x + block.down(minimal.gelu(block.up(block.feed_forward_norm(x))))  # think
        return model.final_norm(x) @ model.embedding.weight.T  # which token fits?

    torch.manual_seed(0)
    small = minimal.GPT(vocabulary=512)
    _ids = torch.randint(512, (2, 10))
    with torch.no_grad():
        logits = gpt(small, _ids)
        gpt_gap = (logits - small(_ids)).abs().max().item()
    assert gpt_gap < 1e-5
    print("ids", tuple(_ids.shape), "to logits", tuple(logits.shape), "as in minimal.py.")
    return gpt_gap, logits, small


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Read the two lines of the loop once more. The first lets each position fetch from earlier ones, the second lets it think about what it has. Twelve times in GPT-2, ninety-six times in GPT-3, and
    nothing else happens. Nobody wrote into any block what it should do. All blocks begin alike, with random numbers, and training makes different specialists of them.

    A test of this package holds that file equal to its decoder, logit by logit. And the decoder is held equal to GPT-2, Llama and others of the library
    *transformers*. So these lines are not like GPT-2: with its weights, they *are* GPT-2.

    What did later models change? Less than one would think. Llama, Qwen and their relatives have rotary positions, RMSNorm and no biases. Several heads share their keys and values. And the feed-forward has a **gate**:
    two matrices go up instead of one, and the result of the second decides how much of the first passes. The loop with its two lines has stayed. In this package each of these is a choice in the config of one
    decoder: `scratchlm plan gpt2` and `scratchlm plan default` describe two of them.

    ## 7. The stream is a sum

    Since each part only adds, the last vector is a plain sum: the embedding of the token, its place, and what each attention and each feed-forward added on the way. That is more than a curiosity. A logit is a
    dot product with that sum. So it falls apart into a share for each part, and one can ask a model: *which part of you said this?*

    The last norm stands in between. But it divides all of the sum by one number, so we can divide each share by the same. We take the small model above, with its random weights, and one position.

    🎯 Your guess: it has four blocks. Into how many vectors does the last one fall apart?
    """)
    return


@app.cell
def _():
    guess_6 = None  # how many
    return (guess_6,)


@app.cell
def _(minimal, small, torch):
    def shares(model, ids):
        """Return the vectors (T, D) that the residual stream is a sum of, with the name of the part that gave each."""
        x = model.embedding.weight[ids]
        named = {"token": x, "place": model.position_embedding.weight[: len(ids)]}
        x = (x + named["place"])[None]  # a batch of one text
        for at, block in enumerate(model.blocks):
            fetched = block.attention(block.attention_norm(x))
            x = x + fetched
            thought = block.down(minimal.gelu(block.up(block.feed_forward_norm(x))))
            x = x + thought
            named |= {f"attention {at}": fetched[0], f"feed-forward {at}": thought[0]}
        return named, x[0]

    with torch.no_grad():
        by_part, _stream = shares(small, torch.tensor([5, 17, 300]))
        _size = (_stream.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        # The norm of the sum is the sum of each share less its own mean, divided by the size of the sum.
        _row = small.embedding.weight[300]
        logit_shares = {
            name: (((share - share.mean(-1, keepdim=True)) / _size)[-1] @ _row).item()
            for name, share in by_part.items()
        }
        _logit = small(torch.tensor([[5, 17, 300]]))[0, -1, 300].item()
    sum_gap = abs(sum(logit_shares.values()) - _logit)
    assert sum_gap < 1e-4
    print(
        f"The logit of token 300 after token 300 is {_logit:.3f}, and so is the sum of its shares."
    )
    return by_part, logit_shares, sum_gap


@app.cell
def _(by_part, guess_6, guessed, logit_shares, plt):
    if guessed(guess_6, len(by_part), "vectors"):
        _, _axes = plt.subplots(figsize=(7, 2.8))
        _axes.bar(list(logit_shares), list(logit_shares.values()))
        _axes.tick_params(axis="x", rotation=60)
        _axes.set(
            ylabel="share of the logit", title="Which part of a fresh model says: this token again?"
        )
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    A fresh model has one opinion alone: the same token again. It comes from the embedding, since the table is read in both directions, and a row fits itself best. Training must first unlearn it. For a trained model, `scratchlm inspect MODEL "PROMPT"`
    draws this picture for each token, down to single heads. [Look inside](../docs/look-inside.md) has examples.

    ## 8. What it weighs

    Count by hand. A block has 12 D² parameters: 4 D² in attention, 8 D² in the feed-forward, and a few more for norms and biases. The tables have a row for each token and each place.
    """)
    return


@app.cell
def _(mo):
    layers = mo.ui.slider(1, 48, value=12, label="layers")
    width = mo.ui.slider(64, 1600, step=64, value=768, label="width")
    vocabulary = mo.ui.slider(512, 50257, value=50257, label="vocabulary")
    mo.vstack([layers, width, vocabulary])
    return layers, vocabulary, width


@app.cell
def _(gpt2_total, layers, vocabulary, width):
    def parameters(layers, width, vocabulary, context=1024):
        """Return the number of parameters of a GPT-2 of these sizes."""
        attention = 4 * (width * width + width)
        feed_forward = 8 * width * width + 4 * width + width
        norms = 2 * 2 * width
        return (
            (vocabulary + context) * width + layers * (attention + feed_forward + norms) + 2 * width
        )

    by_formula = parameters(12, 768, 50257)
    assert by_formula == gpt2_total
    print(f"GPT-2 by the formula and by the package: {by_formula:,} parameters.")
    print(f"Your sliders: {parameters(layers.value, width.value, vocabulary.value):,}.")
    return by_formula, parameters


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    In Jupyter, change the `value` of a slider and run both cells again.

    🎯 Your guess: how many gigabytes does training the smallest GPT-2 take at least, with 32-bit numbers and the usual optimizer? Each parameter needs its value, its gradient, and two running averages.
    """)
    return


@app.cell
def _():
    guess_7 = None  # gigabytes, without the activations
    return (guess_7,)


@app.cell
def _(gpt2_total, guess_7, guessed):
    training_gigabytes = gpt2_total * 4 * 4 / 1e9  # four numbers of four bytes
    guessed(
        guess_7,
        training_gigabytes,
        "GB; writing alone needs a quarter of it, with 16-bit numbers an eighth",
    )
    return (training_gigabytes,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    To that come the **activations**: what each part gave, kept for the way back. They grow with the batch and the length of the text. `scratchlm plan gpt2` adds all of it up,
    and says how long a training would take on your machine.

    ## 9. What it computes

    A parameter of a matrix is used once for each token: one multiplication and one addition. So reading a token takes about two operations for each parameter. Training takes three times as many, as the way back
    needs the gradients of the inputs and those of the weights. That gives the rule of thumb of this field: **training takes 6 N operations per token**, with N parameters. The scores of attention come on top, and
    matter for long texts only.

    A laptop does some hundred billion operations in a second, if all goes well. The text of GPT-2 had 40 gigabytes, about ten billion tokens.

    🎯 Your guess: how many years would a laptop take to train the smallest GPT-2 on that text, read once?
    """)
    return


@app.cell
def _():
    guess_8 = None  # years
    return (guess_8,)


@app.cell
def _(gpt2_total, guess_8, guessed):
    operations = 6 * gpt2_total * 10e9
    years = operations / 100e9 / (365 * 24 * 3600)
    if guessed(guess_8, years, f"years, for {operations:.1e} operations"):
        small_run = 6 * 400_000 * 1e6 / 100e9
        print(
            f"A model of 400,000 parameters and a text of a million tokens: {small_run:.0f} seconds."
        )
    return operations, years


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    That is why the models of these notes are small. ⭐ Compute grows with parameters *times* tokens, and who wants ten times of both pays a hundred times. But all that you learn from
    a small one holds: the parts, the shapes and the rules of thumb are those of the large ones.

    ## 10. What would break without you?

    Now the experiment: `scratchlm experiment twins`. Models of equal seed read the same batches of books. The first has everything. Each of the others lacks one part: the shortcuts, the norms, the
    positions, the feed-forwards. Each has the learning rate that suits it best, and all was repeated at five seeds. That took an hour and more, so we draw its stored result.

    🎯 Your guess: which of the four is missed most? Write 1 for shortcuts, 2 for norms, 3 for positions, 4 for feed-forwards.
    """)
    return


@app.cell
def _():
    guess_9 = None  # 1, 2, 3 or 4
    return (guess_9,)


@app.cell
def _(notes_folder, read_outcome):
    _outcome = read_outcome(notes_folder() / "results" / "twins.json")
    parts = {
        "residual": "residual connections",
        "norm": "norms",
        "positions": "positions",
        "feed-forward": "feed-forwards",
    }
    rises = {shown: _outcome.values[f"{part}.rise"].value for part, shown in parts.items()}
    twins = _outcome.curves[0].lines
    print("The result has models without:", "; ".join(twins))
    return rises, twins


@app.cell
def _(guess_9, guessed, plt, rises, twins):
    missed = 1 + max(range(4), key=lambda at: list(rises.values())[at])
    if guessed(guess_9, missed, f"is missed most: the {list(rises)[missed - 1]}"):
        for _part, _rise in rises.items():
            print(f"without {_part:<14} {_rise:.2f} nats per token more")
        _, _axes = plt.subplots(figsize=(7, 3.6))
        for _model in (next(iter(twins)), *rises):
            _axes.plot(*twins[_model], marker="", label=f"without {_model}")
        _axes.set(
            xlabel="step",
            ylabel="loss on other books (nats)",
            title="What would break without you?",
        )
        _axes.legend()
        plt.show()
    return (missed,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    This is the picture to keep. Without shortcuts the model learns how frequent each token is, and little more: all positions are the same to it. The other parts are missed less. ⚠️ These models have four layers and
    learned for minutes. In [the record](findings/twins.md) stand the rates, the seeds and one surprise: a single wide head did better than several.

    Why is there anything left without positions? Because the mask gives a hint: a token that sees more others is further back.

    ## 11. What to keep

    - ⭐ A GPT is a table, a stack of equal blocks, and the table again.
    - An embedding is a lookup, and the lookup is a product with a one-hot vector.
    - Attention does not see order. Learned positions are added; rotary ones turn queries and keys, so that only the distance counts.
    - 🔥 A norm forgets the size of each vector. It works on one position alone.
    - 🔥 The shortcut keeps positions apart on the way up, and the gradient alive on the way down. Without it a deep model hardly learns.
    - The feed-forward has two thirds of a block. Without its bend it would be one matrix.
    - 💡 The stream is a sum, so each logit can be asked who said it.
    - 💡 A block has about 12 D² parameters. Training takes 6 N operations per token. Training with AdamW takes 16 bytes for each, and the activations.

    ## 12. Exercises

    ```
    scratchlm learn start 4      # writes gpt.py
    scratchlm learn check 4.1    # names your mistake, if there is one
    ```

    You write GELU, the norm and the block. Then `scratchlm inspect` of any model shows the same parts with their sizes. The [cards](cards/04-the-gpt-model.md) help to
    remember, with `scratchlm quiz --chapter 4`.
    """)
    return


if __name__ == "__main__":
    app.run()
