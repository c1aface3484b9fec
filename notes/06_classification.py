"""Chapter 6: fine-tuning for classification. Open it with: marimo edit notes/06_classification.py"""

import marimo

app = marimo.App(width="medium", app_title="Fine-tuning for classification")


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # Fine-tuning for classification

    Your GPT has read, and can go on with a story. Now you want something else of it: a label. Is this message spam? Is this text about a town or about a person?
    The model stays. You take off its last layer, which scored all tokens, and put on a small one that scores two classes. Then it learns from labelled texts. That is **fine-tuning**.

    In this chapter you put texts of different length into one table. You find out which of the model's vectors has read a text to its end. You see what reading is worth: a model judges words that no label ever named. Then you train
    more or less of it, learn why 87% can be worthless, and catch a model that is sure and wrong.

    ⭐ **Guess before you look.** Set `guess_1` and the others, and only then does a result appear. Write `"skip"` where you would rather not. You need
    [chapter 5](05_pretraining.ipynb). It takes about a minute and a half to compute. The signs mean the same on [every page](README.md#signs).
    """)
    return


@app.cell
def _():
    import random
    import re
    from collections import Counter

    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    import torch
    from torch.nn import functional as F

    from scratchlm.data import batches
    from scratchlm.evaluation import classes
    from scratchlm.finetuning.head import add_classes
    from scratchlm.lab.course.guessing import guessed
    from scratchlm.lab.course.reader import read_stories
    from scratchlm.lab.harness.plots import STYLE
    from scratchlm.model.lora import freeze
    from scratchlm.storyworld.lexicon import lexicon, recurring_names
    from scratchlm.training.loss import class_loss

    plt.rcParams.update(STYLE | {"figure.figsize": (7, 3.2), "figure.constrained_layout.use": True})
    torch.set_printoptions(precision=3, sci_mode=False)
    return (
        Counter,
        F,
        add_classes,
        batches,
        class_loss,
        classes,
        freeze,
        guessed,
        lexicon,
        mo,
        np,
        plt,
        random,
        re,
        read_stories,
        recurring_names,
        torch,
    )  # fmt: skip


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 1. A model that has read

    First we need what chapter 5 made: a small model that has read the stories. `read_stories` trains a tokenizer of 1,024 tokens and a model of three blocks, as in chapter 5. It works while you read on.

    The stories are about people who live in towns. Nobody ever told the model what a town is, or that *Greenmere* is one. It only had to guess the next token, some six hundred thousand times.
    """)
    return


@app.cell
def _(read_stories):
    reader = read_stories()
    tokenizer = reader.tokenizer
    print(f"The model has read; its last loss is {reader.loss:.2f} nats per token.")
    return reader, tokenizer


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 2. Texts of different length in one table

    A model computes with tables, and all rows of a table are equally long. Texts are not. So short rows are filled up at the end with a token that means nothing: **padding**.

    Where texts of very different length share a batch, much of the table is padding. The computer works on it as hard as on words. Here are four messages, in one batch.

    🎯 Your guess: which share of the table is padding?
    """)
    return


@app.cell
def _():
    guess_1 = None  # a number between 0 and 1
    return (guess_1,)


@app.cell
def _(batches, tokenizer, torch):
    messages = [
        "Yes!",
        "I know Greenmere.",
        "Do you like Greta?",
        "One day Abel walked to Foxley, and sat down in the garden behind the old bakery.",
    ]
    rows_of_ids = [tokenizer.encode(message) for message in messages]
    longest = max(len(row) for row in rows_of_ids)
    table_by_hand = torch.tensor([row + [0] * (longest - len(row)) for row in rows_of_ids])
    lasts_by_hand = torch.tensor([len(row) - 1 for row in rows_of_ids])

    table, lasts = batches.padded(rows_of_ids, 0)
    assert table.equal(table_by_hand)
    assert lasts.equal(lasts_by_hand)
    padding_share = 1 - sum(len(row) for row in rows_of_ids) / table.numel()
    print("The table by hand is that of the package, and so are the places of the last tokens.")
    return lasts, messages, padding_share, rows_of_ids, table


@app.cell
def _(guess_1, guessed, padding_share, plt, table):
    if guessed(guess_1, padding_share, "of the table is padding"):
        _, _axes = plt.subplots(figsize=(7, 1.8))
        _axes.imshow((table != 0).numpy(), aspect="auto", cmap="Greys", vmin=-0.6, vmax=1.6)
        _axes.set(yticks=range(4), xlabel="place in the row", title="Dark: tokens. Light: padding.")
        _axes.grid(visible=False)
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    One long message makes three short ones expensive. So the package computes a batch in parts of similar length, and adds up the results. ⚠️ It does not put texts of similar length into the same *batch*. Where length says something about the class, as with spam, such a batch would hold one class alone. Each step would pull the model to that class.

    ## 3. Where the answer stands

    The model makes a vector at each place, its **hidden state**. Which of them shall be asked for the class of the text? The mask of chapter 3 decides. Each place sees only what stands before it.

    We run one message through the model, and then again with another *last* word.

    🎯 Your guess: the message has a number of tokens, printed below. At how many places does the state change?
    """)
    return


@app.cell
def _():
    guess_2 = None  # how many places
    return (guess_2,)


@app.cell
def _(reader, tokenizer, torch):
    def states_of(model, message):
        """Return the hidden state at each token of a message, (T, D)."""
        with torch.no_grad():
            return model.hidden(torch.tensor([tokenizer.encode(message)]))[0]

    _first = states_of(reader.model, "Abel lived in Foxley")
    _last_changed = states_of(reader.model, "Abel lived in Greenmere")
    _first_changed = states_of(reader.model, "Greta lived in Foxley")
    tokens_of_message = len(_first)
    assert len(_last_changed) == len(_first_changed) == tokens_of_message
    changed_by_last = int(((_first - _last_changed).abs().amax(-1) > 1e-5).sum())
    changed_by_first = int(((_first - _first_changed).abs().amax(-1) > 1e-5).sum())
    print(f"The message has {tokens_of_message} tokens.")
    return changed_by_first, changed_by_last, states_of, tokens_of_message


@app.cell
def _(changed_by_first, changed_by_last, guess_2, guessed, tokens_of_message):
    if guessed(guess_2, changed_by_last, "of the states changed"):
        print(f"Another first word changes {changed_by_first} of {tokens_of_message}.")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Only the last state has seen the last word. It alone has read the whole text. ⭐ So the class is read from the state of the *last token*. A model like BERT, whose places see both sides, can use the first one.

    The last token of a text is not the last place of the table. Behind a short text stands padding, and its states are about nothing. We need the place of each text's own end. Then padding must not matter at all, as nothing looks at
    what comes after it. Does the package agree with us, and does padding really not matter?
    """)
    return


@app.cell
def _(add_classes, lasts, messages, reader, states_of, table, torch):
    with_head = reader.copy()
    add_classes(with_head, ["town", "person"], "last", seed=0)
    with_head.eval()

    with torch.no_grad():
        hidden = with_head.hidden(table)  # (B, T, D), padding and all
        scores_by_hand = torch.stack(
            [with_head.classifier.weight @ hidden[row, lasts[row]] for row in range(len(table))]
        )  # (B, 2): a product of the head's table and one state for each text
        scores_of_package = with_head.class_logits(hidden, lasts)
        scores_alone = torch.stack(
            [
                with_head.classifier.weight @ states_of(with_head, message)[-1]
                for message in messages
            ]
        )
    score_gap = (scores_by_hand - scores_of_package).abs().max().item()
    padding_gap = (scores_by_hand - scores_alone).abs().max().item()
    assert max(score_gap, padding_gap) < 1e-4
    print("The scores by hand are those of the package, and each text alone has the same.")
    return hidden, padding_gap, score_gap, scores_of_package, with_head


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 4. A head for two classes

    What did we add? The old last layer has a row of 96 numbers for each of 1,024 tokens. The new **head** has a row for each class. All the rest stays as it was.

    🎯 Your guess: how many numbers does the new head have?
    """)
    return


@app.cell
def _():
    guess_3 = None  # how many numbers
    return (guess_3,)


@app.cell
def _(F, guess_3, guessed, scores_of_package, torch, with_head):
    head_numbers = with_head.classifier.weight.numel()
    fresh_loss = F.cross_entropy(scores_of_package, torch.tensor([0, 0, 1, 0])).item()
    if guessed(guess_3, head_numbers, "numbers"):
        _all = sum(each.numel() for each in with_head.parameters())
        print(
            f"That is one in {_all // head_numbers:,}. The loss before training: {fresh_loss:.3f}."
        )
    return fresh_loss, head_numbers


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    The loss is that of chapter 5, over two classes instead of 1,024 tokens. ⭐ Before training it is near the logarithm of 2, 0.693. Check it, as always.

    ## 5. What reading is worth

    Now the case that fine-tuning is made for: *few labels*. We take ten towns and ten people, and write five short messages about each: "I know Greenmere.", "Do you like Greta?". That makes a hundred labelled texts. The test asks
    about ten *other* towns and ten other people, in the same five sentences. No label ever named them.

    Three learners get the same hundred texts:

    - **counting**: naive Bayes on words, from chapter 1;
    - **from random weights**: our model, which has not read a story;
    - **after reading**: our model, with what it learned from the stories.

    All three will know the names that had a label.

    🎯 Your guess: of messages about names without a label, which share does the model that has read get right?
    """)
    return


@app.cell
def _():
    guess_4 = None  # a number between 0 and 1
    return (guess_4,)


@app.cell
def _(
    Counter,
    add_classes,
    batches,
    class_loss,
    freeze,
    np,
    random,
    re,
    reader,
    tokenizer,
    torch,
):
    SENTENCES = (
        "I know {}.",
        "Do you like {}?",
        "We often think of {}.",
        "It is {}!",
        "Tell me all about {} now.",
    )
    occurrences = Counter(re.findall("[A-Za-z]+", reader.text))

    def labelled(groups, sentences=SENTENCES, seed=0):
        """Divide two groups of words into halves; return texts and labels of the first ones and of the others."""
        known = [
            [w for w in dict.fromkeys(words) if occurrences[w] > 8 and w not in other]
            for words, other in (groups, groups[::-1])
        ]
        size = min(map(len, known)) // 2
        drawn = [random.Random(seed).sample(words, 2 * size) for words in known]
        return [
            [
                (sentence.format(word), label)
                for label, words in enumerate(drawn)
                for word in words[part]
                for sentence in sentences
            ]
            for part in (slice(0, size), slice(size, 2 * size))
        ]

    def class_scores(model, texts):
        """Return the scores of the classes of each text, (N, 2)."""
        rows, ends = batches.padded([tokenizer.encode(each) for each, _ in texts], 0)
        with torch.no_grad():
            return model.class_logits(model.hidden(rows), ends).numpy()

    def share_right(model, texts):
        """Return which share of texts the model puts into the right class."""
        return float(np.mean(class_scores(model, texts).argmax(1) == [label for _, label in texts]))

    def tuned(texts, read=True, first_block=0, rate=0.3, seed=0):
        """Fine-tune on texts from some block on, at so many times the usual rate; return the model."""
        model = reader.copy(seed + 1, read=read)
        add_classes(model, ["0", "1"], "last", seed)
        freeze(model, layers=first_block)
        ids = [tokenizer.encode(each) for each, _ in texts]
        rows = batches.LabelledBatches(ids, [label for _, label in texts], 16, seed, pad=0)
        return reader.tuned(model, rows, steps=40, rate=rate, loss=class_loss())

    return SENTENCES, class_scores, labelled, share_right, tuned


@app.cell
def _(labelled, lexicon, recurring_names, share_right, tuned):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    _women, _men = recurring_names()
    with_label, without_label = labelled((list(lexicon()["Town"]), _women + _men))
    _counting = make_pipeline(CountVectorizer(), MultinomialNB()).fit(
        *zip(*with_label, strict=True)
    )
    by_learner = {
        "counting": [
            _counting.score(*zip(*part, strict=True)) for part in (with_label, without_label)
        ]
    }
    for _name, _read in (("random weights", False), ("after reading", True)):
        _models = [tuned(with_label, _read, seed=_seed) for _seed in range(3)]
        by_learner[_name] = [
            sum(share_right(model, part) for model in _models) / 3
            for part in (with_label, without_label)
        ]
    print(
        f"Three learners are trained on {len(with_label)} texts; the networks with three seeds each."
    )
    return by_learner, with_label, without_label


@app.cell
def _(by_learner, guess_4, guessed, plt):
    if guessed(guess_4, by_learner["after reading"][1], "of them are right"):
        _, _axes = plt.subplots(figsize=(6.5, 3.4))
        for _place, (_name, _shares) in enumerate(by_learner.items()):
            for _offset, _share, _color in zip(
                (-0.2, 0.2), _shares, ("#9aa7b5", "#2f5f9a"), strict=True
            ):
                _axes.bar(_place + _offset, 100 * _share, 0.36, color=_color)
                _axes.text(_place + _offset, 100 * _share + 2, f"{_share:.0%}", ha="center")
        _axes.axhline(50, color="black", linewidth=1, linestyle=":")
        _axes.set(
            xticks=range(3),
            xticklabels=list(by_learner),
            ylim=(0, 115),
            ylabel="right (%)",
            title="Light: names with a label. Dark: names without one.",
        )
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    This is the picture to keep. All three know by heart what they were told. Of other names, counting and the model from random weights know nothing: they flip a coin. The model that has read knows nearly all of them.

    How? To guess what comes after *Greenmere*, it had to find out that *Greenmere* behaves as *Foxley* does: it stands near a lake, people live in it. So the vectors of towns came to lie together, and those of people elsewhere. The labels
    only had to name the two heaps. ⭐ Reading makes the classes, and labels give them names.

    Nobody had to say so. It is what is left over when one guesses next tokens for long enough.

    ⚠️ The result holds where reading has met the words often, in roles that differ as clearly as these. In the next section the words are rarer.

    ## 6. How much of it to train

    A harder question, with common nouns: *a person or a place?* Each of these words occurs only some ten times or more in what the model has read. And how much of the model shall change?

    - **the head alone**: 192 numbers;
    - **the last block and the head**;
    - **all of it**.

    We ask in two forms. In the first, the noun stands at the end: "Then the baker". In the second, the sentence goes on to its full stop: "Tell me all about the baker now." The words are the same. Only the last token, from whose state the class is
    read, is another. Each choice is tried at a low and at a high learning rate, with three draws of words, as each may want its own rate.

    🎯 Your guess: the head alone is trained, on texts that end in the noun. Of nouns without a label, which share does it get right at its better rate?
    """)
    return


@app.cell
def _():
    guess_5 = None  # a number between 0 and 1
    return (guess_5,)


@app.cell
def _(SENTENCES, labelled, lexicon, np, share_right, tuned):
    _nouns = lexicon()
    _places = [*_nouns["N/building.sg"], *_nouns["N/outdoor.sg"], *_nouns["N/room.sg"]]
    noun_groups = (list(_nouns["N/role.sg"]), _places)
    forms = {
        "noun at the end": (
            "The {}",
            "Then the {}",
            "One day the {}",
            "A {}",
            "Near the town, the {}",
        ),
        "whole sentence": tuple(each.replace("{}", "the {}") for each in SENTENCES),
    }
    parts = {"head alone": 3, "last block": 2, "all": 0}
    noun_shares = {}
    for _form, _sentences in forms.items():
        for _part, _first_block in parts.items():
            for _rate in (0.3, 1.0):
                _shares = []
                for _seed in range(3):
                    _known, _other = labelled(noun_groups, _sentences, _seed)
                    _model = tuned(_known, first_block=_first_block, rate=_rate, seed=_seed)
                    _shares.append((share_right(_model, _known), share_right(_model, _other)))
                noun_shares[_form, _part, _rate] = np.array(_shares)
    head_share = max(
        noun_shares["noun at the end", "head alone", rate][:, 1].mean() for rate in (0.3, 1.0)
    )
    print("Thirty-six models are trained.")
    return forms, head_share, noun_groups, noun_shares


@app.cell
def _(guess_5, guessed, head_share, noun_shares):
    if guessed(guess_5, head_share, "of them are right"):
        print("form             trained     rate  with a label   without: mean (each draw)")
        for (_form, _part, _rate), _shares in noun_shares.items():
            _each = ", ".join(f"{share:.0%}" for share in _shares[:, 1])
            _known, _other = _shares.mean(0)
            print(f"{_form:<16} {_part:<11} {_rate:<5} {_known:>12.0%} {_other:>10.0%} ({_each})")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Look at three things.

    - At the noun itself, 192 numbers are enough. Its state has to guess what the baker or the barn *does* next, so what kind of thing it is lies ready. Nothing else needs to change.
    - After a full stop, the head alone cannot even learn its *training* texts. That state has to guess how the next sentence begins, and what this one was about is hardly in it any more. Here the blocks must learn to carry it there, and with a hundred and
      thirty texts they do it poorly.
    - All of the model at the high rate knows every training text. On others it is worse than the head alone, where the head can do it. It had the freedom to learn twenty-six words by heart, and used it.

    ⚠️ The draws differ by up to ten points or more. From one draw you could have "shown" many an order.

    💡 So begin with little. Freeze all but the head, look whether it learns its training texts, and free more blocks if it does not. Small rates are safer. Held-out texts decide.

    ## 7. When 87% is worthless

    Of a hundred messages, 13 are spam. A classifier that never says spam is right 87 times. Its **accuracy** is 87%, and it has found nothing.

    Two other numbers ask about the rare class. **Precision**: of those called spam, how many are? **Recall**: of the spam, how much was found? **F1** is their harmonic mean: it is small as soon as one of the two is.

    🎯 Your guess: a classifier calls 20 messages spam, and 10 of them are, of 13 in all. What is its F1?
    """)
    return


@app.cell
def _():
    guess_6 = None  # a number between 0 and 1
    return (guess_6,)


@app.cell
def _(classes, np):
    from sklearn.metrics import f1_score

    def f1_by_hand(called, truth):
        """Return F1 of class 1: twice the rightly called, by the called and the true ones together."""
        right = sum(c == t == 1 for c, t in zip(called, truth, strict=True))
        return 2 * right / (sum(called) + sum(truth)) if right else 0.0

    truth_of_messages = np.array([1] * 13 + [0] * 87)
    called_messages = np.array([1] * 10 + [0] * 3 + [1] * 10 + [0] * 77)
    never = np.zeros(100, dtype=int)
    f1_gap = max(
        abs(f1_by_hand(called, truth_of_messages) - other)
        for called in (called_messages, never)
        for other in (
            classes.f1_of(truth_of_messages, called, 2, positive=1),
            f1_score(truth_of_messages, called),
        )
    )
    assert f1_gap < 1e-9
    f1_of_messages = f1_by_hand(called_messages, truth_of_messages)
    accuracies = [
        float((called == truth_of_messages).mean()) for called in (called_messages, never)
    ]
    print("F1 by hand is that of the package and of scikit-learn.")
    return accuracies, f1_by_hand, f1_gap, f1_of_messages


@app.cell
def _(accuracies, f1_of_messages, guess_6, guessed):
    if guessed(guess_6, f1_of_messages, "is its F1"):
        print(
            f"Its accuracy is {accuracies[0]:.0%}. The lazy one has {accuracies[1]:.0%}, and an F1 of 0."
        )
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    So they have the same accuracy! One finds ten of thirteen, the other none.

    Another way to make a lazy classifier useful is to move the **threshold**. It need not be 0.5. Whoever must not miss any spam calls it from 0.2 on, and bears false alarms. Here are twelve messages, with the probability that a model gave
    to spam. In marimo, drag the slider. In Jupyter, change `value=0.5` and run both cells again.
    """)
    return


@app.cell
def _(mo):
    threshold = mo.ui.slider(
        0.05, 0.95, step=0.05, value=0.5, label="spam from this probability on"
    )
    threshold
    return (threshold,)


@app.cell
def _(f1_by_hand, threshold):
    _probabilities = [0.95, 0.9, 0.7, 0.6, 0.45, 0.4, 0.3, 0.25, 0.2, 0.1, 0.05, 0.02]
    _truth = [1, 1, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0]

    def at_threshold(least):
        """Return precision, recall and F1 if spam is what has at least this probability."""
        called = [int(each >= least) for each in _probabilities]
        right = sum(c and t for c, t in zip(called, _truth, strict=True))
        return right / max(sum(called), 1), right / sum(_truth), f1_by_hand(called, _truth)

    _precision, _recall, _f1 = at_threshold(threshold.value)
    print(f"precision {_precision:.2f}, recall {_recall:.2f}, F1 {_f1:.2f}")
    return (at_threshold,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ⚠️ A threshold is chosen on some texts, and suits *them*. Measure it on others.

    ## 8. Sure and wrong

    A model says 0.99. Is it right 99 times in a hundred? If so, it is **calibrated**. We take the models that were trained in full on whole sentences, at the high rate, and ask them about nouns without a label. They are right about three times in
    five.

    🎯 Your guess: how sure are they, on average? Give the mean probability of the class that they chose.
    """)
    return


@app.cell
def _():
    guess_7 = None  # a number between 0.5 and 1
    return (guess_7,)


@app.cell
def _(class_scores, classes, forms, labelled, noun_groups, np, tuned):
    _scores, _truth = [], []
    for _seed in range(3):
        _known, _other = labelled(noun_groups, forms["whole sentence"], _seed)
        _scores.append(class_scores(tuned(_known, rate=1.0, seed=_seed), _other))
        _truth += [label for _, label in _other]
    noun_scores, noun_truth = np.concatenate(_scores).astype(np.float64), np.array(_truth)

    # A temperature divides the scores. It is chosen on half of the words, and measured on the other half.
    _chosen_on = np.arange(len(noun_truth)) // 5 % 2 == 0  # five sentences belong to a word
    temperature = classes.best_temperature(noun_scores[_chosen_on], noun_truth[_chosen_on])
    _rest, rest_truth = noun_scores[~_chosen_on], noun_truth[~_chosen_on]
    raw, cooled = classes.softmax(_rest), classes.softmax(_rest, temperature)
    rest_right = float((raw.argmax(1) == rest_truth).mean())
    calibration = [classes.calibration_error(each, rest_truth) for each in (raw, cooled)]
    mean_sureness = [float(each.max(1).mean()) for each in (raw, cooled)]
    return calibration, cooled, mean_sureness, raw, rest_right, rest_truth, temperature


@app.cell
def _(
    calibration,
    cooled,
    guess_7,
    guessed,
    mean_sureness,
    plt,
    raw,
    rest_right,
    rest_truth,
    temperature,
):
    if guessed(guess_7, mean_sureness[0], f"is how sure they are; {rest_right:.0%} are right"):
        print(
            f"Scores divided by {temperature:.1f}: {mean_sureness[1]:.2f} sure, and as often right."
            f" Calibration error {calibration[0]:.2f} before, {calibration[1]:.2f} after."
        )
        _, _pair = plt.subplots(1, 2, figsize=(7.5, 3.3), sharey=True)
        for _axes, _probabilities, _title in zip(
            _pair, (raw, cooled), ("as trained", "after the temperature"), strict=True
        ):
            _sure = _probabilities.max(1)
            _good = _probabilities.argmax(1) == rest_truth
            _bins = [(low / 10, low / 10 + 0.1) for low in range(5, 10)]
            _points = [
                (_sure[inside].mean(), _good[inside].mean(), inside.sum())
                for low, high in _bins
                if (inside := (_sure >= low) & (_sure < high + 1e-9)).any()
            ]
            _x, _y, _size = zip(*_points, strict=True)
            _axes.plot([0.5, 1], [0.5, 1], linestyle=":", marker="", color="black")
            _axes.scatter(_x, _y, s=[2 * n for n in _size], zorder=3)
            _axes.set(xlabel="how sure", title=_title, ylim=(0.3, 1.05))
        _pair[0].set(ylabel="share right")
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    The size of a point is the number of texts. On the dotted line, a model is as sure as it should be. On the left most of the texts lie far below the line: nearly certain, and often wrong. It is the same sickness
    as in chapter 5. Who learns by heart becomes sure of everything.

    The cure is one number, the **temperature**. All scores are divided by it. The order of the classes does not change, so not one answer changes. Only the sureness does. `scratchlm finetune classify` chooses temperature and threshold on
    held-out texts, and stores both with the model.

    ## 9. And real spam?

    Our towns and people are the best case: the reading had met every word, and often. Real messages are another matter. On 5,000 text messages with 512 labels, our small pretrained model had an average precision of 0.948. From
    random weights it had 0.944, so reading books could not be shown to help. A linear classifier on counted words and characters had 0.976. And with eight labels, rules written by someone who knew such spam beat them all.
    [The record](findings/label-efficiency.md) has every number and interval.

    ⚠️ Why? The books were written long before anyone wrote "txt WIN to 87121". What the model had read was about other words. And spam can be seen from single words, where counting is at home. ⭐ So always train the cheap rival, too. `scratchlm
    finetune classify` does it by itself, and tells which one to use.

    ## 10. What to keep

    - ⭐ The state of a text's *last token* has read all of it. Padding behind it must not matter.
    - ⭐ A head for classes replaces the scores of tokens. Before training, the loss is the logarithm of the number of classes.
    - 🔥 Reading makes classes, labels name them. So a model that has read judges words that no label named.
    - 🔥 Where classes are rare, accuracy flatters. Ask for precision, recall and F1.
    - Train little where labels are few. If the head alone cannot learn its training texts, free more blocks.
    - ⚠️ A model that learned by heart is sure and wrong. A temperature corrects the sureness, not the answers.
    - Compare with a linear classifier, always.

    ## 11. Exercises

    ```
    scratchlm learn start 6
    scratchlm learn check 6
    ```

    You write the table with padding, two ways to sum up a text in one vector, and F1. Then it is your turn with texts of your own: a table with two columns is enough for `scratchlm finetune classify my-gpt labels.csv`. The
    [cards](cards/06-classification.md) help to remember, with `scratchlm quiz --chapter 6`.
    """)
    return


if __name__ == "__main__":
    app.run()
