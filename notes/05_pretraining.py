"""Chapter 5: pretraining. Open it with: marimo edit notes/05_pretraining.py"""

import marimo

app = marimo.App(width="medium", app_title="Pretraining")


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # Pretraining

    You have a GPT, and it knows nothing. Every token is as likely as any other. **Pretraining** makes it read, and after each few lines turns
    all of its parameters a little, so that it would have been less surprised. That is the whole method. It is repeated until the money is gone.

    In this chapter you calculate one loss and one gradient with your own hands, and find the same as PyTorch. You see why AdamW does not care how large a gradient is. You drive a model to both ends of
    its learning rates, and learn to read a curve. Then the model writes, in four tempers. At the end you load weights wrongly, and nothing complains.

    ⭐ **Guess before you look.** Set `guess_1` and the others, and only then does a result appear. Write `"skip"` where you would rather not. You need
    [chapter 4](04_the_gpt_model.ipynb). It takes about a minute to compute. The signs mean the same on [every page](README.md#signs).
    """)
    return


@app.cell
def _():
    import math
    from dataclasses import replace

    import marimo as mo
    import matplotlib.pyplot as plt
    import torch
    from torch.nn import functional as F

    from scratchlm import storyworld
    from scratchlm.data.batches import ArrayTokens, WindowBatches
    from scratchlm.lab.course.guessing import guessed
    from scratchlm.lab.course.own_model import decoder_of
    from scratchlm.lab.harness.plots import STYLE
    from scratchlm.model import minimal
    from scratchlm.model.decoder import build_decoder
    from scratchlm.pretraining.depth_scaling import load_recipe
    from scratchlm.training.loop import Loop

    plt.rcParams.update(STYLE | {"figure.figsize": (7, 3.2), "figure.constrained_layout.use": True})
    torch.set_printoptions(precision=3, sci_mode=False)
    return (
        ArrayTokens,
        F,
        Loop,
        WindowBatches,
        build_decoder,
        decoder_of,
        guessed,
        load_recipe,
        math,
        minimal,
        mo,
        plt,
        replace,
        storyworld,
        torch,
    )  # fmt: skip


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 1. One loss

    The text becomes a long row of tokens. We cut pieces out of it, one token longer than the model reads. The model reads all but the last token. The **targets** are all but the first: at each place, the token that came next.

    At each place the model gives a logit to every token. The softmax makes probabilities of them. We look at one alone: that of the token that really came. Minus its logarithm is the **loss** of this place.
    The loss of a batch is the mean.

    🎯 Your guess: the model is fresh, and its vocabulary has 512 tokens. What is its loss, in nats?
    """)
    return


@app.cell
def _():
    guess_1 = None  # nats per token
    return (guess_1,)


@app.cell
def _(F, minimal, storyworld, torch):
    text = "\n".join(storyworld.stories(200_000, seed=2))
    tokenizer = minimal.Tokenizer(text, 512)
    tokens = torch.tensor(tokenizer.encode(text))
    train, test = tokens[:-4000], tokens[-4000:]
    torch.manual_seed(0)
    fresh = minimal.GPT(len(tokenizer.bytes), width=64, layers=2)
    rows = minimal.windows(train, torch.tensor([0, 500]), 64)  # (B, T + 1)
    with torch.no_grad():
        probabilities = fresh(rows[:, :-1]).softmax(-1)  # (B, T, V)
        _total = 0.0
        for _text_number in range(2):
            for _place in range(64):
                _came = rows[_text_number, _place + 1]
                _total -= probabilities[_text_number, _place, _came].log().item()
        loss_by_hand = _total / (2 * 64)
        loss_of_package = minimal.loss_of(fresh, rows).item()
        loss_of_torch = F.cross_entropy(
            fresh(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten()
        ).item()
    loss_gap = max(abs(loss_by_hand - loss_of_package), abs(loss_by_hand - loss_of_torch))
    assert loss_gap < 1e-4
    print("The loss by hand, in minimal.py and in torch is the same.")
    return fresh, loss_by_hand, loss_gap, rows, test, tokenizer, train


@app.cell
def _(guess_1, guessed, loss_by_hand, math):
    if guessed(guess_1, loss_by_hand, "nats per token"):
        print(f"The logarithm of 512 is {math.log(512):.3f}: a guess among 512 equal chances.")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ⭐ Check this number whenever you begin a training. If a fresh model starts far above the logarithm of its vocabulary, its logits are too large. If it starts far below, it can see the answer.

    Three other units say the same. *e* to the power of the loss is the **perplexity**: among how many equal chances does the model seem to choose? A fresh model has 512. The loss divided by the logarithm of 2 is in **bits**. And bits
    divided by the bytes that a token covers are **bits per byte**, which can be compared between tokenizers. A model with larger tokens has a higher loss per token, as there is more in each of them. It need not be worse.

    ## 2. One gradient by hand

    How must a logit change to lower the loss? The rule is short enough to remember: **probability minus truth**. The truth is 1 for the token that came, and 0 for all others.

    🎯 Your guess: the model gave the token that came a probability of 0.2. What is the gradient of the loss by the logit of this token?
    """)
    return


@app.cell
def _():
    guess_2 = None  # a number
    return (guess_2,)


@app.cell
def _(F, torch):
    # Five tokens, of which number 2 came. The logits are chosen so that it has the probability 0.2.
    logits = torch.log(torch.tensor([0.1, 0.4, 0.2, 0.25, 0.05])).requires_grad_()
    F.cross_entropy(logits[None], torch.tensor([2])).backward()
    truth = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0])
    gradient_by_hand = logits.detach().softmax(-1) - truth
    # One layer further down: logits are x times a table, so the table's gradient is one product more.
    x, table = torch.randn(4), torch.randn(5, 4, requires_grad=True)
    F.cross_entropy((table @ x)[None], torch.tensor([2])).backward()
    table_by_hand = torch.outer((table.detach() @ x).softmax(-1) - truth, x)
    gradient_gap = max(
        (gradient_by_hand - logits.grad).abs().max().item(),
        (table_by_hand - table.grad).abs().max().item(),
    )
    assert gradient_gap < 1e-5
    print("Both gradients by hand are those of PyTorch.")
    return gradient_by_hand, gradient_gap


@app.cell
def _(gradient_by_hand, guess_2, guessed):
    if guessed(guess_2, gradient_by_hand[2].item(), "for the token that came"):
        print("All five:", gradient_by_hand, "they sum to 0")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Read it as a bill. The token that came is pushed up by what it lacked. Each other token is pushed down by what it had too much. What one gains, the others lose. And a place where
    the model was right and sure has no gradient left: nothing is learned from what one knows.

    From there the blame goes down the layers, a matrix product at a time, as in the second half of the cell. That is **back-propagation**. PyTorch does it, and you have just done a part of it.

    ## 3. One step

    The simplest step: move each parameter against its gradient, times the **learning rate**. But gradients differ by factors of thousands between parts of a model. One rate would be too large for some, and too small for others.

    **Adam** keeps two running averages for each parameter, of the gradient and of its square. It moves by the first, divided by the root of the second. The **W** in AdamW stands for *weight decay*: each step also
    shrinks the matrices a little.

    🎯 Your guess: in the first step, with a learning rate of 0.01, one parameter has the gradient 0.001. How far does it move?
    """)
    return


@app.cell
def _():
    guess_3 = None  # a distance
    return (guess_3,)


@app.cell
def _(minimal, torch):
    _gradients = torch.tensor([0.001, 1.0, 1000.0])
    weight, mean, square = torch.ones(3), torch.zeros(3), torch.zeros(3)
    minimal.adamw(weight, mean, square, _gradients, step=1, lr=0.01)
    moved = 1 - weight

    _parameter = torch.nn.Parameter(torch.ones(3))
    _parameter.grad = _gradients.clone()
    torch.optim.AdamW([_parameter], lr=0.01, betas=(0.9, 0.95), weight_decay=0.0).step()
    step_gap = (weight - _parameter.detach()).abs().max().item()
    assert step_gap < 1e-5
    print("The step by hand is that of torch's AdamW.")
    return moved, step_gap


@app.cell
def _(guess_3, guessed, moved):
    if guessed(guess_3, moved[0].item(), "for the gradient 0.001"):
        print(f"For the gradient 1 it is {moved[1]:.4f}, for 1,000 it is {moved[2]:.4f}.")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    All the same! The size of a gradient cancels, only its sign is left. ⭐ So the learning rate is a *distance*: how far each parameter goes in a step. Later, where gradients of one parameter disagree from batch to
    batch, their mean is small against their root mean square, and steps get shorter.

    Two more tricks belong to a step. If the gradient of all parameters together is longer than a limit, all of it is shortened to that length. This is **clipping**: one odd batch cannot throw the model far. And if a batch
    does not fit into memory, it is cut into **micro-batches**. Each gives a gradient, their mean makes the step. Does that change anything?

    🎯 Your guess: the gradient of a batch of eight rows, and the mean of the gradients of its four pairs. How large is the largest difference?
    """)
    return


@app.cell
def _():
    guess_8 = None  # a number
    return (guess_8,)


@app.cell
def _(fresh, minimal, torch, train):
    _rows = minimal.windows(train, torch.arange(8) * 200, 64)
    _weights = list(fresh.parameters())

    def gradients(batch):
        """Return the gradient of the mean loss of some rows, by parameter."""
        return torch.autograd.grad(minimal.loss_of(fresh, batch), _weights)

    at_once = gradients(_rows)
    _pairs = [gradients(_rows[at : at + 2]) for at in range(0, 8, 2)]
    in_pieces = [sum(each) / 4 for each in zip(*_pairs, strict=True)]
    pieces_gap = max(
        (one - other).abs().max().item() for one, other in zip(at_once, in_pieces, strict=True)
    )
    length = sum(each.square().sum() for each in at_once).sqrt().item()
    assert pieces_gap < 1e-5
    return length, pieces_gap


@app.cell
def _(guess_8, guessed, length, pieces_gap):
    if guessed(guess_8, round(pieces_gap, 5), "is the largest difference, but for rounding"):
        print(
            f"The gradient of all parameters together is {length:.2f} long; the usual limit is 1."
        )
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Nothing, but for rounding. ⚠️ That holds if each piece has as many targets. Where rows are padded, the mean of means is not the mean: count the targets of all pieces first, and divide by that.

    ## 4. The cliff

    Which rate is right? Too low, and the model is not finished when the text is. Too high, and each step destroys what others have built.

    From here on we train with the recipe of this package, as it learns faster than the plain one. Its loop is the same: read, loss, gradients, step. It uses **Muon** for matrices. Muon keeps a running average of the
    gradient, and then makes all directions of the matrix equally strong, so that rare ones are learned too. Vectors and tables stay with AdamW. The rate climbs for a few steps (**warm-up**), stays, and falls to zero at the end
    (**decay**). With a long way to go large steps are good; at the end small ones settle.

    We train the same small model at seven rates, with the same batches: the usual rate, and 3, 10 and 30 times more and less.

    🎯 Your guess: the usual rate was tuned for larger models and longer texts. Which of 0.03, 0.1, 0.3, 1, 3, 10 and 30 times this rate gives the lowest loss here?
    """)
    return


@app.cell
def _():
    guess_4 = None  # one of the seven factors
    return (guess_4,)


@app.cell
def _(
    ArrayTokens,
    F,
    Loop,
    WindowBatches,
    build_decoder,
    load_recipe,
    minimal,
    replace,
    test,
    tokenizer,
    torch,
    train,
):
    _recipe = load_recipe("default", 2)  # two blocks
    _shape = replace(
        _recipe.model,
        vocabulary_size=len(tokenizer.bytes),
        context=64,
        width=64,
        attention=replace(_recipe.model.attention, heads=4, kv_heads=4, head_dim=16),
        feed_forward=replace(_recipe.model.feed_forward, hidden=192),
    )
    test_rows = minimal.windows(test, torch.arange(0, len(test) - 65, 64), 64)

    def loss_on_others(model):
        """Return the loss on other stories, in nats per token."""
        with torch.no_grad():
            scores = model(test_rows[:, :-1])
        return F.cross_entropy(scores.flatten(0, 1), test_rows[:, 1:].flatten()).item()

    def trained(factor=1.0, steps=120, part=train):
        """Train a small model; return it, its losses on its own batches, and those on other stories by step."""
        optimizer = _recipe.training.optimizer
        adam = replace(optimizer.adam, learning_rate=factor * optimizer.adam.learning_rate)
        optimizer = replace(optimizer, learning_rate=factor * optimizer.learning_rate, adam=adam)
        plan = replace(
            _recipe.training, steps=steps, batch_size=8, sequence_length=64, optimizer=optimizer
        )
        model, own, others = build_decoder(_shape, 0), [], {}
        batches = WindowBatches(ArrayTokens(part.numpy()), 8, 64, seed=0)
        for record in Loop(model, batches, plan).steps():
            own.append(record.loss)
            if record.step % 20 == 0:
                others[record.step] = loss_on_others(model.eval())
                model.train()
        return model.eval(), own, others

    factors = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
    by_factor = {factor: trained(factor)[2] for factor in factors}
    ends = {factor: list(others.values())[-1] for factor, others in by_factor.items()}
    best_factor = min(ends, key=ends.get)
    print("Seven models are trained.")
    return best_factor, by_factor, ends, loss_on_others, test_rows, trained


@app.cell
def _(best_factor, by_factor, ends, guess_4, guessed, plt):
    if guessed(guess_4, best_factor, "times the usual rate is best here"):
        _, (_left, _right) = plt.subplots(1, 2, figsize=(7.5, 3.4))
        for _factor, _others in by_factor.items():
            _left.plot(list(_others), list(_others.values()), marker="", label=f"{_factor:g}")
        _left.set(
            xlabel="step", ylabel="loss on other stories (nats)", title="One model, seven rates"
        )
        _left.legend(fontsize=8)
        _right.plot(list(ends), list(ends.values()), marker="o")
        _right.set(
            xscale="log", xlabel="times the usual rate", ylabel="loss at the end", title="A valley"
        )
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    This is the picture to keep. The valley is wide, and its walls are steep: a rate that is thirty times wrong in either direction wastes the training. ⚠️ So when two models are compared, each needs its own rate. Many a
    winner was only the one whose rate had been tried.

    ## 5. Reading a curve

    A model can also learn its text by heart. We take the first 2,000 tokens alone, and train 300 steps at the usual rate. Another model gets all of the text, and as many steps. There are now two losses: on the batches that
    a model learns from, and on stories that it never saw.

    🎯 Your guess: the loss of the first one on its own text ends near zero. Where does that on other stories end? (A fresh model has about 6 nats, the one with all of the text about 2.5.)
    """)
    return


@app.cell
def _():
    guess_5 = None  # nats per token
    return (guess_5,)


@app.cell
def _(train, trained):
    model, own, others = trained(steps=300)
    _, narrow_own, narrow_others = trained(steps=300, part=train[:2000])
    print("Two models are trained. One has read 2,000 tokens again and again.")
    return model, narrow_others, narrow_own, others, own


@app.cell
def _(guess_5, guessed, narrow_others, narrow_own, others, own, plt):
    if guessed(guess_5, list(narrow_others.values())[-1], "nats on other stories"):
        _lowest = min(narrow_others, key=narrow_others.get)
        print(f"Its best was {narrow_others[_lowest]:.2f}, at step {_lowest}.")
        _, _pair = plt.subplots(1, 2, figsize=(7.5, 3.2), sharey=True)
        for _axes, _mine, _other, _title in zip(
            _pair,
            (own, narrow_own),
            (others, narrow_others),
            ("all of the text", "2,000 tokens"),
            strict=True,
        ):
            _axes.plot(range(1, len(_mine) + 1), _mine, marker="", label="on its own text")
            _axes.plot(list(_other), list(_other.values()), marker="", label="on other stories")
            _axes.set(xlabel="step", title=_title)
        _pair[0].set(ylabel="loss (nats)")
        _pair[0].legend()
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    On the right the lines part, and learning becomes memorising. The model is now *worse than before its first step*. It is sure of what it read, and each surprise in another story costs it dearly. ⭐ Certainty that is wrong is more expensive than
    not knowing.

    One pass over a text is an **epoch**. The left model has read its text not quite twice, the right one 77 times. Large models read nearly all of their text once, so they hardly memorise any of it. But a passage that stands there a hundred
    times is read a hundred times, and such passages they do know by heart.

    Four shapes are worth knowing:

    - **Both lines fall together**: all is well, go on.
    - **They part, and the upper one rises**: the model learns by heart. Give it more text, fewer steps, or fewer parameters.
    - **A flat line at the beginning, then a fall**: first it learns how frequent tokens are, later what they depend on. Wait.
    - **A sudden jump upwards**: a step that was too large. Try a lower rate, more warm-up, or a limit on the gradient.

    ## 6. It writes

    The model gives probabilities. How to choose from them is up to you:

    - **greedy**: always the likeliest;
    - **temperature**: divide the logits by a number before the softmax. Below 1 likely tokens gain, above 1 unlikely ones;
    - **top-k**: only the *k* likeliest;
    - **top-p**: the likeliest that together reach the probability *p*.

    🎯 Your guess: how many different tokens are among 120 that the greedy model writes?
    """)
    return


@app.cell
def _():
    guess_6 = None  # how many
    return (guess_6,)


@app.cell
def _(model, tokenizer, torch):
    def filtered(logits, temperature=1.0, top_k=None, top_p=None):
        """Return the probabilities (V,) to draw the next token from."""
        chances, order = (logits / temperature).softmax(-1).sort(descending=True)
        keep = torch.ones_like(chances, dtype=torch.bool)
        if top_k is not None:
            keep[top_k:] = False
        if top_p is not None:
            keep &= chances.cumsum(-1) - chances < top_p  # what stands before has not reached p yet
        chances = chances * keep
        return torch.zeros_like(chances).scatter(0, order, chances / chances.sum())

    _start = tokenizer.encode("One morning")
    written = {}
    for _name, _settings in {
        "greedy": {"top_k": 1},
        "temperature 0.7": {"temperature": 0.7},
        "temperature 1.5": {"temperature": 1.5},
        "top-p 0.8": {"top_p": 0.8},
    }.items():
        torch.manual_seed(0)
        _ids = list(_start)
        with torch.no_grad():
            for _ in range(120):
                _logits = model(torch.tensor([_ids[-64:]]))[0, -1]
                _ids.append(int(torch.multinomial(filtered(_logits, **_settings), 1)))
        written[_name] = _ids
    kinds = {name: len(set(ids[len(_start) :])) for name, ids in written.items()}
    return filtered, kinds, written


@app.cell
def _(guess_6, guessed, kinds, tokenizer, written):
    if guessed(guess_6, kinds["greedy"], "different tokens, greedily"):
        for _name, _ids in written.items():
            print(f"\n{_name}, {kinds[_name]} different tokens:")
            print(tokenizer.decode(_ids)[:300])
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Greedy text runs in a circle: the likeliest token after a likely phrase is the likely phrase again. A high temperature gives the long tail its say, and the tail is rubbish. In between it reads best. ⚠️ None of this
    changes the model. It knows neither more nor less.

    ## 7. Weights, in and out

    A trained model is a list of named tables. To load one into another program, one needs a map of names. The plain GPT of section 1 becomes a decoder of this package in this way, and the logits prove it.
    """)
    return


@app.cell
def _(build_decoder, decoder_of, fresh, loss_on_others, model, rows, torch):
    decoder = decoder_of(fresh)  # the same numbers under other names
    with torch.no_grad():
        weights_gap = (decoder(rows[:, :-1]) - fresh(rows[:, :-1])).abs().max().item()
    assert weights_gap < 1e-4
    for _name in ("embedding.weight", "blocks.0.query.weight", "blocks.1.down.weight"):
        _table = fresh.state_dict()[_name]
        _there = [name for name, each in decoder.state_dict().items() if each.equal(_table)]
        print(f"{_name:<24} is there {_there[0]}")
    print("The logits are the same.")

    # Now a mistake: in a copy of the trained model, the tables of queries and keys change places. All shapes fit.
    wrong = build_decoder(model.config, 0)
    wrong.load_state_dict(
        {
            name.replace("query", "other").replace("key", "query").replace("other", "key"): table
            for name, table in model.state_dict().items()
        }
    )
    right_loss, wrong_loss = loss_on_others(model), loss_on_others(wrong.eval())
    return right_loss, weights_gap, wrong_loss


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    In the same cell, queries and keys of a copy changed places. PyTorch loaded it without a word: each table has the right shape.

    🎯 Your guess: how many nats per token does that cost?
    """)
    return


@app.cell
def _():
    guess_7 = None  # nats per token
    return (guess_7,)


@app.cell
def _(guess_7, guessed, right_loss, wrong_loss):
    guessed(guess_7, wrong_loss - right_loss, f"nats: {wrong_loss:.2f} instead of {right_loss:.2f}")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ⚠️ No error, and a model that still writes, only worse. That is the dangerous kind of mistake. Published weights differ in such ways: which halves of a vector are turned together, whether a table is stored transposed, whether the
    norm adds 1 to its scale. So compare *logits*, not shapes. `scratchlm import` does, and refuses what it does not know.

    ## 8. What is it good for?

    A pretrained model knows its text. Does it also help with another task? Two models learned to answer questions from the same conversations. One had read the stories before. The other began with random weights, and had
    as many steps to learn as it liked. Then both were asked for facts that no conversation held. [The record](findings/ladder-respond.md) tells who knew them: the first one 85%, the second one 11%. That is the case
    for pretraining, in one sentence: it is the reading that knows, and the fine-tuning only teaches how to answer. ⚠️ It is not always worth its price. Some tasks have thousands of labelled examples and need no knowledge.
    In spam, a small pretrained model gained nothing over one from random weights.

    How much should one read? As a rule of thumb from larger models, some twenty tokens for each parameter make the most of a given amount of compute. A model of 150,000 parameters, as here, wants about three million tokens. Ours read
    a twentieth of that, and the curve was still falling when the rate reached zero.

    ## 9. What to keep

    - ⭐ The loss of a token is minus the logarithm of its probability. A fresh model has the logarithm of the vocabulary's size.
    - ⭐ The gradient of a logit is probability minus truth.
    - 🔥 AdamW moves each parameter by about the learning rate, however large its gradient is.
    - 🔥 Learning rates have a valley with steep walls. Tune both sides alike before you compare.
    - Where the loss on other text rises, the model learns by heart.
    - Decoding chooses; it does not change what the model knows.
    - ⚠️ Weights with the right shapes can be in the wrong places. Compare logits.

    ## 10. Exercises

    ```
    scratchlm learn start 5
    scratchlm learn check 5
    scratchlm learn train        # trains your own GPT
    ```

    The last line is the reward: your functions train your model on the stories, and save it. From then on `scratchlm generate my-gpt "One morning"` works, and so do `chat`, `inspect` and `serve`. The
    [cards](cards/05-pretraining.md) help to remember, with `scratchlm quiz --chapter 5`.
    """)
    return


if __name__ == "__main__":
    app.run()
