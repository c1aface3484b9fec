"""Appendix A: tensors and gradients. Open it with: marimo edit notes/A_tensors_and_gradients.py"""

import marimo

app = marimo.App(width="medium", app_title="Tensors and gradients")


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # Tensors and gradients

    This is the hour before the course. A language model is a large calculation with tables of numbers, and training asks of each number: *if I turned you a little, what would become of the result?* Two things are enough to understand
    that: what a **tensor** is, and what a **gradient** is. Both are simpler than their names.

    You write the machine that finds gradients yourself. It has thirty lines, and it finds the same numbers as PyTorch, which has some millions. Along the way you meet four traps that every beginner of PyTorch falls into. Better now than
    at three in the night, a week before something must be finished. There the loss will look fine, and the model will not be.

    ⭐ **Guess before you look.** Set `guess_1` and the others, and only then does a result appear. Write `"skip"` where you would rather not. You need Python, and the mathematics of school. It takes a few seconds to compute.
    The signs mean the same on [every page](README.md#signs).
    """)
    return


@app.cell
def _():
    import math

    import marimo as mo
    import matplotlib.pyplot as plt
    import torch

    from scratchlm.lab.course.guessing import guessed
    from scratchlm.lab.course.scalars import Scalar
    from scratchlm.lab.harness.plots import STYLE

    plt.rcParams.update(STYLE | {"figure.figsize": (7, 3.2), "figure.constrained_layout.use": True})
    torch.set_printoptions(precision=3, sci_mode=False)
    return Scalar, guessed, math, mo, plt, torch


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 1. A tensor is a box of numbers

    A single number, a row of numbers, a table of numbers, a stack of tables: all of them are **tensors**. What tells them apart is the **shape**, one number for each axis. Three texts of five tokens, each with a vector of four numbers:
    that is the shape (3, 5, 4), and 60 numbers. In memory they lie in one long row. The shape only says how to count.

    Calculations work on all numbers at once. If two shapes differ, PyTorch tries to **broadcast**: an axis of length 1 is repeated as often as needed. That saves many loops, and it is the first trap.

    🎯 Your guess: four predictions have the shape (4, 1), and four targets the shape (4). How many numbers does their difference have?
    """)
    return


@app.cell
def _():
    guess_1 = None  # how many numbers
    return (guess_1,)


@app.cell
def _(torch):
    predictions, targets = (
        torch.tensor([[1.0], [2.0], [3.0], [4.0]]),
        torch.tensor([1.0, 2.0, 3.0, 4.0]),
    )
    difference = predictions - targets
    texts = torch.arange(60).view(3, 5, 4)
    print("The second text, its last token:", texts[1, -1].tolist())
    print(
        "shape of all first tokens:",
        tuple(texts[:, 0].shape),
        "and of the sums over tokens:",
        tuple(texts.sum(1).shape),
    )
    return difference, predictions, targets


@app.cell
def _(difference, guess_1, guessed, predictions, targets):
    if guessed(guess_1, difference.numel(), "numbers"):
        print(difference)
        print(
            f"All predictions are right, and the mean square error is {difference.square().mean():.2f}."
        )
        print(f"With equal shapes it is {(predictions.squeeze(1) - targets).square().mean():.2f}.")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ⚠️ A perfect model with an error of 2.5, and no message. The column was repeated to the right, the row downwards, and each prediction was compared with each target. Print shapes. Then print them again.

    ## 2. The same numbers, seen otherwise

    `view`, `transpose` and slices copy nothing. They are other ways of counting the same row in memory. That makes them fast, and it is the second trap: what you change in one, you change in the other.

    The **matrix product** is the workhorse. A table (2, 3) times a table (3, 4) gives a table (2, 4). Each of its numbers is a **dot product**: a row of the first and a column of the second, multiplied number by number, and summed. Nearly all of the work of a
    language model is this.

    🎯 Your guess: how many multiplications does a product of (2, 3) and (3, 4) take?
    """)
    return


@app.cell
def _():
    guess_2 = None  # how many
    return (guess_2,)


@app.cell
def _(torch):
    left, right = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(3, 4)
    by_loops, multiplications = torch.zeros(2, 4), 0
    for _row in range(2):
        for _column in range(4):
            for _inner in range(3):
                by_loops[_row, _column] += left[_row, _inner] * right[_inner, _column]
                multiplications += 1
    product_gap = (by_loops - left @ right).abs().max().item()
    assert product_gap == 0

    original = torch.zeros(2, 3)
    original.view(6)[0] = 7.0  # a view changes what it looks at
    print(
        "The product by loops is that of torch. And a zero became",
        original[0, 0].item(),
        "through a view.",
    )
    return multiplications, original, product_gap


@app.cell
def _(guess_2, guessed, multiplications):
    guessed(guess_2, multiplications, "multiplications: one for each row, column and inner place")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 3. How exact is a number?

    A number in a tensor has few bits. The usual 32 bits keep about seven digits. Language models often calculate with 16 bits, in the format **bf16**. It has the same range, but it keeps two or three digits only.

    🎯 Your guess: what is 256 + 1 in bf16?
    """)
    return


@app.cell
def _():
    guess_3 = None  # a number
    return (guess_3,)


@app.cell
def _(torch):
    short = torch.tensor(256.0, dtype=torch.bfloat16)
    added = (short + 1).item()
    counted = torch.tensor(0.0, dtype=torch.bfloat16)
    for _ in range(1000):
        counted += 1
    return added, counted


@app.cell
def _(added, counted, guess_3, guessed):
    if guessed(guess_3, added, "is 256 + 1 in bf16"):
        print(f"So one can count to a thousand in ones, and arrive at {counted.item():.0f}.")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ⚠️ The third trap. Small steps on large numbers vanish. That is why sums and the weights of an optimizer are kept in 32 bits, also where all products are made in 16. In general, ask of two results not whether they are equal, but whether they are close:
    `torch.allclose`.

    ## 4. What is a slope?

    Take a function, and turn its input by a little. Divide the change of the result by the turn. That is the **slope** at this place. A slope of 6 says: for small turns, the result changes six times as much.

    🎯 Your guess: the function is x · x + x. What is its slope at 3?
    """)
    return


@app.cell
def _():
    guess_4 = None  # a number
    return (guess_4,)


@app.cell
def _(torch):
    def slope(function, place, turn=1e-5):
        """Return the slope of a function, by turning its input a little in both directions."""
        return (function(place + turn) - function(place - turn)) / (2 * turn)

    nudged = slope(lambda x: x * x + x, 3.0)
    x = torch.tensor(3.0, requires_grad=True)
    (x * x + x).backward()
    from_torch = x.grad.item()
    assert abs(nudged - from_torch) < 1e-6
    print("Nudging by hand gives what backward() of PyTorch gives.")
    return from_torch, nudged, slope


@app.cell
def _(guess_4, guessed, nudged):
    guessed(guess_4, round(nudged, 6), "is the slope: 2 x + 1")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    With many inputs there is a slope for each. All of them together are the **gradient**. A model with a million parameters has a gradient of a million numbers. To nudge each of them one after the other would take a million runs of the model, for a single step.

    ## 5. Thirty lines

    There is a better way, and it is the reason why any of this works. Write down how each number was calculated. Then go back from the result, and hand the blame on:

    - a **sum** hands its blame on to both terms, unchanged: each has the slope 1;
    - a **product** hands it on times the *other* factor;
    - if a number was used twice, its blame adds up.

    Think of a kitchen. The soup is too salty. The cook asks what went in: broth, and two spoons from the jar. The broth had salt of its own, and it was made from the same jar. So the jar gets the blame twice, once directly and once through the
    broth, and the two add up. Nobody had to cook a thousand soups, each with one grain less.

    That is all. Slopes along a path are multiplied: this is the **chain rule**. One way back gives the whole gradient, for about the price of two ways forward. `Scalar` in this package does it for single numbers; open
    `lab/course/scalars.py`, it is short.
    """)
    return


@app.cell
def _(Scalar, torch):
    # A tiny network: two inputs, a product, a sum, a bend, a loss.
    values = {"a": 1.5, "b": -0.5, "c": 0.25}
    _a, _b, _c = (Scalar(value) for value in values.values())
    _hidden = _a * _b + _c
    _loss = (_hidden * _hidden).exp() + _hidden * _a
    _loss.backward()
    by_scalars = [_a.gradient, _b.gradient, _c.gradient]

    _x, _y, _z = (
        torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values.values()
    )
    _h = _x * _y + _z
    ((_h * _h).exp() + _h * _x).backward()
    by_torch = [_x.grad.item(), _y.grad.item(), _z.grad.item()]
    scalar_gap = max(abs(one - other) for one, other in zip(by_scalars, by_torch, strict=True))
    assert scalar_gap < 1e-12
    print("gradients of a, b, c by thirty lines:", [round(each, 6) for each in by_scalars])
    print("                        by PyTorch  :", [round(each, 6) for each in by_torch])
    return by_scalars, by_torch, scalar_gap


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    The same, to the last digit shown. ⭐ So back-propagation is no secret of neural networks. It is bookkeeping. What PyTorch adds is speed: it keeps the books for tables, not for single numbers.

    🎯 Your guess: `x.grad` of a tensor holds 7, after one `backward()`. The same calculation runs again, and `backward()` too. What does `x.grad` hold now?
    """)
    return


@app.cell
def _():
    guess_5 = None  # a number
    return (guess_5,)


@app.cell
def _(torch):
    _x = torch.tensor(3.0, requires_grad=True)
    for _ in range(2):
        (_x * _x + _x).backward()
    twice = _x.grad.item()
    return (twice,)


@app.cell
def _(guess_5, guessed, twice):
    guessed(guess_5, twice, "after two calls: gradients add up")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ⚠️ The fourth trap. PyTorch adds each new gradient to what is there. So a training loop clears it in each step, with `zero_grad()`. Who forgets that trains on the sum of all that ever happened.

    ## 6. Downhill

    Now let a machine learn something. There are forty points near a line, and it has two parameters, a slope and a height. The **loss** is the mean square error. Each step calculates the gradient and moves both parameters a little against
    it. This is **gradient descent**, and the size of the little is the **learning rate**.

    🎯 Your guess: the points were made with a slope of 2 and some noise. Which slope has the machine found after 100 steps?
    """)
    return


@app.cell
def _(mo):
    learning_rate = mo.ui.slider(0.02, 1.2, step=0.02, value=0.3, label="learning rate")
    guess_6 = None  # the slope
    learning_rate
    return guess_6, learning_rate


@app.cell
def _(learning_rate, torch):
    _generator = torch.Generator().manual_seed(0)
    places = torch.rand(40, generator=_generator) * 2 - 1
    heights = 2 * places + 0.5 + 0.3 * torch.randn(40, generator=_generator)
    parameters = torch.zeros(2, requires_grad=True)  # slope, height
    losses, way = [], []
    for _ in range(100):
        loss = (parameters[0] * places + parameters[1] - heights).square().mean()
        parameters.grad = None
        loss.backward()
        with torch.no_grad():  # the step is no part of what has gradients
            parameters -= learning_rate.value * parameters.grad
        losses.append(loss.item())
        way.append(parameters.detach().clone())
    fitted_slope, fitted_height = parameters.tolist()
    print("A hundred steps downhill.")
    return fitted_height, fitted_slope, heights, losses, places


@app.cell
def _(fitted_height, fitted_slope, guess_6, guessed, heights, losses, places, plt):
    if guessed(guess_6, fitted_slope, "is the slope"):
        _, (_left, _right) = plt.subplots(1, 2, figsize=(7.5, 3.2))
        _left.plot(places.numpy(), heights.numpy(), linestyle="", marker="o", label="points")
        _left.plot(
            [-1, 1],
            [fitted_height - fitted_slope, fitted_height + fitted_slope],
            marker="",
            label="found",
        )
        _left.set(xlabel="x", ylabel="y", title="Two parameters")
        _left.legend()
        _right.semilogy(losses, marker="")
        _right.set(xlabel="step", ylabel="mean square error", title="Downhill")
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    In marimo, drag the slider above the guess: at 0.02 it is not finished after a hundred steps, near 1.0 it jumps from wall to wall, and beyond it flies away. In Jupyter, change `value=0.3` and run again.

    A language model does the same. It has a million parameters in place of two, and the surprise at the next token in place of the distance. But one thing more is needed.

    ## 7. Why layers?

    Two switches at a staircase: the light is on if exactly one of them is up. That is called **exclusive or**. Draw the four cases as corners of a square: the two with light lie across from each other. No straight line parts them from the
    two without.

    A **neuron** draws such a line: it multiplies each input by a weight, and adds up. Two neurons in a row would draw a line again, since a sum of sums is a sum. It needs a **bend** in between: a function that is not straight, such as *tanh*,
    which flattens large numbers. Then the first layer can draw several lines, and the second one asks on which side of each of them one stands.

    🎯 Your guess: of the four cases, how many can a network without a bend answer rightly, however it is trained?
    """)
    return


@app.cell
def _():
    guess_7 = None  # 0 to 4
    return (guess_7,)


@app.cell
def _(torch):
    switches = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    light = torch.tensor([0.0, 1.0, 1.0, 0.0])

    def network_of(bend, seed=1):
        """Train a network of two layers on the four cases; return it with its losses."""
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Linear(2, 8), bend, torch.nn.Linear(8, 1))
        optimizer, losses = torch.optim.AdamW(network.parameters(), lr=0.05, weight_decay=0.0), []
        for _ in range(300):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                network(switches).squeeze(1), light
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return network, losses

    def right_cases(network):
        """Return how many of the four cases a network answers rightly."""
        with torch.no_grad():
            return int(((network(switches).squeeze(1) > 0) == (light > 0.5)).sum())

    bent, bent_losses = network_of(torch.nn.Tanh())
    _straight, straight_losses = network_of(torch.nn.Identity())
    # Any line through the plane, tried from all sides: none gets all four.
    _angles, _shifts = torch.linspace(0, 6.28, 200), torch.linspace(-2, 2, 81)
    _sides = torch.outer(_angles.cos(), switches[:, 0]) + torch.outer(_angles.sin(), switches[:, 1])
    most_by_a_line = max(
        int((((_sides + shift) > 0) == (light > 0.5)).sum(1).max()) for shift in _shifts.tolist()
    )
    print("Two networks are trained, and 16,200 lines are drawn.")
    return bent, bent_losses, most_by_a_line, right_cases, straight_losses, switches


@app.cell
def _(
    bent, bent_losses, guess_7, guessed, most_by_a_line, plt, right_cases, straight_losses, torch
):
    if guessed(guess_7, most_by_a_line, "cases at most"):
        print(f"With a bend the network answers {right_cases(bent)} of 4.")
        _, (_left, _right) = plt.subplots(1, 2, figsize=(7.5, 3.2))
        _left.plot(bent_losses, marker="", label="with a bend")
        _left.plot(straight_losses, marker="", label="without")
        _left.axhline(0.693, color="C5", linestyle=":", label="a coin")
        _left.set(xlabel="step", ylabel="loss (nats)", title="Two switches, one light")
        _left.legend()
        _grid = torch.linspace(-0.5, 1.5, 60)
        _points = torch.cartesian_prod(_grid, _grid)
        with torch.no_grad():
            _light = bent(_points).sigmoid().view(60, 60).T
        _right.imshow(_light.numpy(), origin="lower", extent=(-0.5, 1.5, -0.5, 1.5), cmap="Blues")
        _right.plot(
            [0, 1], [1, 0], linestyle="", marker="o", color="white", markeredgecolor="black"
        )
        _right.plot([0, 1], [0, 1], linestyle="", marker="X", color="black")
        _right.grid(visible=False)
        _right.set(
            xlabel="first switch", ylabel="second switch", title="What the network with a bend says"
        )
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Three, never four. This small fact is often named as a reason why few people studied neural networks in the seventies. Back-propagation made it easy to train several layers with bends. Here they find the two corners of light by
    themselves. Nobody told them about lines.

    ## 8. The loss of a language model

    One last piece, and you can follow every later chapter. A model gives a score to each thing that could come next. The **softmax** makes probabilities of the scores: *e* to the power of each, divided by their sum. The loss is minus the logarithm of the
    probability of what really came. With sums, products, `exp` and `log` your thirty lines can do that too.

    🎯 Your guess: three scores are 2, 1 and 0, and the first one came. Its probability is 0.665. What is the gradient of the loss by its score?
    """)
    return


@app.cell
def _():
    guess_8 = None  # a number
    return (guess_8,)


@app.cell
def _(Scalar, torch):
    scores = [Scalar(2.0), Scalar(1.0), Scalar(0.0)]
    _powers = [score.exp() for score in scores]
    _sum = _powers[0] + _powers[1] + _powers[2]
    # Minus the logarithm of power / sum is log(sum) - log(power).
    surprise = _sum.log() + Scalar(-1.0) * _powers[0].log()
    surprise.backward()
    loss_slopes = [score.gradient for score in scores]

    _tensor = torch.tensor([[2.0, 1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    torch.nn.functional.cross_entropy(_tensor, torch.tensor([0])).backward()
    softmax_gap = max(
        abs(one - other) for one, other in zip(loss_slopes, _tensor.grad[0].tolist(), strict=True)
    )
    assert softmax_gap < 1e-12
    probabilities = _tensor.detach().softmax(-1)[0].tolist()
    print("The gradients are those of torch's cross_entropy.")
    return loss_slopes, probabilities, softmax_gap, surprise


@app.cell
def _(guess_8, guessed, loss_slopes, probabilities, surprise):
    if guessed(guess_8, loss_slopes[0], f"with a loss of {surprise.value:.3f}"):
        print("probabilities", [round(each, 3) for each in probabilities])
        print("gradients    ", [round(each, 3) for each in loss_slopes])
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Compare both rows: the gradient is the probability, less 1 for what came. **Probability minus truth.** It fell out of four rules of bookkeeping, and chapter 5 begins with it.

    ## 9. Tables hand on blame too

    A language model would be hopelessly slow with single numbers. The rule of the product has a form for tables. It is worth one look: nearly all gradients of a transformer are made by it.

    Let `y = x @ w`, with the shapes (B, D), (D, E) and so (B, E). From above arrives the blame of `y`, a table of its shape. What is that of `w`? Each weight was multiplied with a number of `x`, once for each row of the batch. So the blame of a
    weight is a sum over the batch of *input times blame of the output*. In one product: `x.T @ blame`. In the same way `x` gets `blame @ w.T`.

    You need not learn that by heart. The shapes force it: for a table of the shape (D, E), from (B, D) and (B, E), there is only one product that fits.

    🎯 Your guess: a batch has 8 rows, D is 4 and E is 3. What is the number of rows of the gradient of `w`?
    """)
    return


@app.cell
def _():
    guess_9 = None  # how many rows
    return (guess_9,)


@app.cell
def _(torch):
    torch.manual_seed(0)
    inputs, table = torch.randn(8, 4, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    blame = torch.randn(8, 3)  # as if it had arrived from above
    (inputs @ table).backward(blame)
    with torch.no_grad():
        table_gap = max(
            (table.grad - inputs.T @ blame).abs().max().item(),
            (inputs.grad - blame @ table.T).abs().max().item(),
        )
    assert table_gap < 1e-5
    print("Both products give the gradients of PyTorch.")
    return table, table_gap


@app.cell
def _(guess_9, guessed, table):
    guessed(
        guess_9,
        table.grad.shape[0],
        f"rows: a gradient has the shape of what it belongs to, {tuple(table.shape)}",
    )
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ⭐ A gradient always has the shape of what it belongs to. And both rules need something from the way forward: the inputs `x` for the weights, the weights for the inputs. So all inputs of all layers must be kept until the way back has passed.
    They are the **activations**, and they fill the memory in training. When a model only writes, nothing must be kept: `torch.no_grad()` saves time and memory.

    A word on chance. Weights begin at random, batches are drawn at random, and so two trainings never end alike. A **seed** fixes the random numbers: `torch.manual_seed(0)` gives the same ones each time, on the same machine. That is good for finding
    mistakes. ⚠️ But a result from one seed is one throw of the dice. The experiments of this course repeat theirs with several seeds, and say how far they lie apart.

    ## 10. How PyTorch says it

    The words that you will meet in each chapter:

    - a **parameter** is a tensor that training changes, `nn.Parameter`;
    - a **module** holds parameters and says how to calculate with them, `nn.Module`;
    - an **optimizer** makes the step from the gradients, `torch.optim.AdamW`;
    - `torch.no_grad()` keeps no books: for measuring and writing;
    - `model.train()` and `model.eval()` switch what only training wants, such as dropout.

    The same line of forty points, in these words:
    """)
    return


@app.cell
def _(heights, places, torch):
    torch.manual_seed(0)
    line = torch.nn.Linear(1, 1)  # a module with two parameters
    _optimizer = torch.optim.SGD(line.parameters(), lr=0.3)
    for _ in range(100):
        _loss = torch.nn.functional.mse_loss(line(places[:, None]).squeeze(1), heights)
        _optimizer.zero_grad()
        _loss.backward()
        _optimizer.step()
    module_slope = line.weight.item()
    print(f"The module found a slope of {module_slope:.3f} and a height of {line.bias.item():.3f}.")
    return (module_slope,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 11. What to keep

    - A tensor is a row of numbers in memory, and a shape that says how to count.
    - ⚠️ Four traps: broadcasting of shapes that should be equal; views that change their original; steps too small for the number format; gradients that add up.
    - ⭐ A gradient has a slope for each parameter. Back-propagation finds all of them in one way back, by three rules.
    - 💡 Gradient descent moves each parameter a little against its slope.
    - All else in this course is a calculation to which this is applied.

    ## 12. Exercises

    ```
    scratchlm learn start A
    scratchlm learn check A.1
    ```

    You write the thirty lines: sum, product, exponential, logarithm, and the way back. The check names your mistake, if there is one. The [cards](cards/A-tensors-and-gradients.md) help to remember, with `scratchlm quiz --chapter A`. Then go on to
    [chapter 1](01_what_a_language_model_is.ipynb).
    """)
    return


if __name__ == "__main__":
    app.run()
