"""Chapter 7: fine-tuning to follow instructions. Open it with: marimo edit notes/07_instructions.py"""

import marimo

app = marimo.App(width="medium", app_title="Fine-tuning to follow instructions")


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # Fine-tuning to follow instructions

    Ask your GPT a question, and it does not answer. It goes on with the text, as it has learned. Perhaps another question follows, perhaps a story. It never had a reason to think that someone is waiting.

    What turns such a model into one that answers? No new layer, and no new loss. Only other text: conversations, written down in a fixed form, in which the model learns to write *one* of the two sides. And to stop.

    In this chapter you write that form by hand, token by token. You choose which tokens the model learns, and find the same loss as the package. You watch one probability rise from nothing to nearly one, and with it
    the model begins to end its turns. Then you leave out one small thing, and it never stops again.

    ⭐ **Guess before you look.** Set `guess_1` and the others, and only then does a result appear. Write `"skip"` where you would rather not. You need
    [chapter 5](05_pretraining.ipynb). It takes about two minutes to compute. The signs mean the same on [every page](README.md#signs).
    """)
    return


@app.cell
def _():
    from dataclasses import replace

    import marimo as mo
    import matplotlib.pyplot as plt
    import torch
    from torch.nn import functional as F

    from scratchlm import storyworld
    from scratchlm.data import batches
    from scratchlm.generation.language_model import LanguageModel
    from scratchlm.lab.course.guessing import guessed
    from scratchlm.lab.course.reader import read_stories
    from scratchlm.lab.harness.plots import STYLE
    from scratchlm.tokens.chat import ChatTemplate
    from scratchlm.training.loss import next_token_loss
    from scratchlm.weights.checkpoint import SavedModel

    plt.rcParams.update(STYLE | {"figure.figsize": (7, 3.2), "figure.constrained_layout.use": True})
    torch.set_printoptions(precision=3, sci_mode=False)
    return (
        ChatTemplate,
        F,
        LanguageModel,
        SavedModel,
        batches,
        guessed,
        mo,
        next_token_loss,
        plt,
        read_stories,
        replace,
        storyworld,
        torch,
    )  # fmt: skip


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 1. A model that only goes on

    We begin with the small model of chapter 5 once more: three blocks, 1,024 tokens, stories about people in towns. It trains while you read.

    Writing is the loop that you know. Ask for the scores of the next token, take the likeliest, append it, ask again. One thing is new: the loop stops when the model writes a certain token, the **end of the turn**. A limit stops it in any case. Nobody has told this model what the end of a turn is: no story contains one. So its score for that token is whatever the random start left there.
    """)
    return


@app.cell
def _(read_stories, torch):
    reader = read_stories()
    tokenizer = reader.tokenizer
    START, END = (tokenizer.specials[name] for name in ("<|im_start|>", "<|im_end|>"))

    def reply(model, ids, most=40):
        """Write the likeliest tokens after `ids` up to the end of the turn; return the new ones, and whether it ended."""
        written = []
        while len(written) < most:
            with torch.no_grad():
                token = int(model(torch.tensor([ids + written]))[0, -1].argmax())
            if token == END:
                return written, True
            written.append(token)
        return written, False

    QUESTION = "What is Greta's favourite colour?"
    before, before_ended = reply(reader.model, tokenizer.encode(QUESTION))
    print(QUESTION, "|", tokenizer.decode(before))
    return END, QUESTION, START, before_ended, reader, reply, tokenizer


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    A story follows, until the limit of forty tokens. The question was only a line of text to it.

    ## 2. A conversation as tokens

    A conversation has **roles**: the *user* asks, the *assistant* answers, and a *system* message may say beforehand how. The model reads one row of tokens. So we need marks for who speaks, and where a turn ends. They must be
    tokens that no text can contain. So the tokenizer holds some **special tokens** for them, which are never made of text.

    Here is the form that this package uses, called ChatML. Each turn is: `<|im_start|>`, the role, a newline, the text, `<|im_end|>`, and a newline.

    A longer conversation is simply a longer row. Before each new reply the model reads all of it again: every question, every answer that it gave, in order. It has no other memory. What falls out of the context is
    forgotten, and whoever changes an earlier answer in the row changes what the model believes to have said. In practice the keys and values of the earlier turns are kept, as in chapter 4, so that nothing is calculated twice.

    And now the important part. Which of these tokens shall the model learn to write? Not the questions: those come from you. Not the head of a turn: a program puts it there. Only the *texts of the assistant*, and the token that ends each of
    them. We note this in a **mask**, a 1 for each token to learn.

    🎯 Your guess: here is a question with its answer. Of all tokens of this conversation, which share is learned?
    """)
    return


@app.cell
def _():
    guess_1 = None  # a number between 0 and 1
    return (guess_1,)


@app.cell
def _(ChatTemplate, END, QUESTION, START, tokenizer):
    def conversation(turns):
        """Return the ids of turns (role, text), and for each id whether it is learned."""
        ids, mask = [], []
        for role, text in turns:
            head, body = [START, *tokenizer.encode(role + "\n")], [*tokenizer.encode(text), END]
            after = tokenizer.encode("\n")
            ids += head + body + after
            mask += [False] * len(head) + [role == "assistant"] * len(body) + [False] * len(after)
        return ids, mask

    ANSWER = "Greta's favourite colour is gold."
    ids_by_hand, mask_by_hand = conversation([("user", QUESTION), ("assistant", ANSWER)])
    template = ChatTemplate(tokenizer)
    rendered = template.render(
        [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    )
    assert (rendered.ids, rendered.mask) == (ids_by_hand, mask_by_hand)
    learned_share = sum(mask_by_hand) / len(mask_by_hand)
    print("Ids and mask by hand are those of the package.")
    print(tokenizer.decode(ids_by_hand))
    return ids_by_hand, learned_share, mask_by_hand, template


@app.cell
def _(guess_1, guessed, ids_by_hand, learned_share, mask_by_hand, mo, tokenizer):
    if guessed(guess_1, learned_share, "of the tokens are learned"):
        _chips = [
            f'<span style="background:{"#2f5f9a" if _learned else "#d5dbe3"};color:{"white" if _learned else "black"};'
            f'padding:1px 4px;margin:1px;border-radius:3px;display:inline-block">'
            f"{tokenizer.decode([_id]).replace('<', '&lt;').replace(chr(10), '⏎') or '&nbsp;'}</span>"
            for _id, _learned in zip(ids_by_hand, mask_by_hand, strict=True)
        ]
        _shown = mo.Html("".join(_chips) + "<p>Dark: learned. Light: only read.</p>")
    else:
        _shown = None
    _shown
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ⚠️ The form is a contract. What was learned in one form must be asked in the same form, to the last newline. So the form is stored *with* the model, as a **chat template**. It is a small program that writes a conversation down. Each family of
    published models has its own. And whoever asks a model in a foreign form gets a worse model, without any error. We try that in section 6.

    ## 3. The loss of a reply

    The loss is that of chapter 5, over the learned tokens alone. The model still *reads* the question, of course. It is only not asked to guess it.

    One detail matters. Two conversations are in a batch. One reply has 2 tokens, the other 18. There are two ways to take a mean: over all 20 tokens, or first in each conversation, and then over both.

    🎯 Your guess: each conversation has its own mean. How many times as much as a token of the long reply does one of the short reply count?
    """)
    return


@app.cell
def _():
    guess_2 = None  # how many times
    return (guess_2,)


@app.cell
def _(F, batches, next_token_loss, reader, storyworld, template, tokenizer, torch):
    talks = storyworld.conversations(seed=0)
    samples = [sample for sample in map(template.render, talks) if len(sample.ids) <= 96]
    held_out, train = samples[:100], samples[100:]

    _few = held_out[:4]
    _total, _count = 0.0, 0
    for _sample in _few:
        with torch.no_grad():
            _logits = reader.model(torch.tensor([_sample.ids[:-1]]))[0]  # (T, V)
        for _place in range(len(_sample.ids) - 1):
            if _sample.mask[_place + 1]:  # the mask belongs to the token that is guessed
                _total += F.cross_entropy(
                    _logits[_place], torch.tensor(_sample.ids[_place + 1])
                ).item()
                _count += 1
    reply_loss_by_hand = _total / _count

    _batch = batches.masked_batch(_few, 96, batches.pad_of(tokenizer))
    with torch.no_grad():
        reply_loss_of_package = next_token_loss(reader.model, _batch).item() / _batch.target_count
    reply_loss_gap = abs(reply_loss_by_hand - reply_loss_of_package)
    assert reply_loss_gap < 1e-4
    print(f"{len(samples):,} conversations. The loss of replies by hand is that of the package.")
    return held_out, reply_loss_by_hand, reply_loss_gap, train


@app.cell
def _(guess_2, guessed):
    times_as_much = (1 / 2 / 2) / (1 / 2 / 18)
    guessed(guess_2, times_as_much, "times as much")
    return (times_as_much,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    So divide the sum of all losses by the number of all learned tokens. The package does, also where a batch is computed in parts.

    ## 4. It learns to stop

    Now we train, for 250 steps, at the learning rate of pretraining. Everything is as in pretraining: the same loop, the same optimizer. Conversations are packed into rows one after another, and attention does not cross from one
    into the next.

    Why packed? A conversation here has some forty tokens, and a row has room for 96. With one in each row, more than half of the table would be padding, as in chapter 6. So two or three share a row. Each token carries the number of its
    conversation, and attention is masked where the numbers differ. The loss and its gradient are then the same as if each had a row of its own.

    After some of the steps we look at one number. We take held-out conversations, go to the place where a reply is complete, and ask: which probability does the model give to the end of the turn? And we ask the same at
    all the *other* places inside replies, where it should be small.

    🎯 Your guess: after how many of the 250 steps does the model give the end, at the right place, more than one half?
    """)
    return


@app.cell
def _():
    guess_3 = None  # a number of steps
    return (guess_3,)


@app.cell
def _(END, batches, held_out, reader, tokenizer, torch, train):
    LOOKS = (1, 2, 5, 10, 15, 20, 25, 30, 40, 60, 80, 120, 160, 200, 250)

    def chance_of_end(model):
        """Return the mean probability of the end of the turn where a reply is complete, and where it is not."""
        complete, inside = [], []
        for sample in held_out[:40]:
            with torch.no_grad():
                chances = model(torch.tensor([sample.ids[:-1]]))[0].softmax(-1)[:, END]
            for place in range(len(sample.ids) - 1):
                if sample.mask[place + 1]:
                    (complete if sample.ids[place + 1] == END else inside).append(
                        chances[place].item()
                    )
        return sum(complete) / len(complete), sum(inside) / len(inside)

    def tuned(data, read=True):
        """Fine-tune on conversations; return the model and its chances of an end by step."""
        model = reader.copy(seed=1, read=read)
        curve = {0: chance_of_end(model.eval())}

        def look(step, now):
            if step in LOOKS:
                curve[step] = chance_of_end(now)

        rows = batches.PackedBatches(data, 16, 96, 0, batches.pad_of(tokenizer))
        return reader.tuned(model, rows, steps=250, rate=1.0, look=look), curve

    chat, chances_by_step = tuned(train)
    first_over_half = min(step for step, (end, _) in chances_by_step.items() if end > 0.5)
    print("The model has learned from conversations.")
    return chances_by_step, chat, first_over_half, tuned


@app.cell
def _(chances_by_step, first_over_half, guess_3, guessed, plt):
    if guessed(guess_3, first_over_half, "steps (of those at which we looked)"):
        _, _axes = plt.subplots(figsize=(7, 3.2))
        _steps = list(chances_by_step)
        _axes.plot(
            _steps,
            [end for end, _ in chances_by_step.values()],
            label="where the reply is complete",
        )
        _axes.plot(
            _steps, [end for _, end in chances_by_step.values()], label="elsewhere in replies"
        )
        _axes.set(
            xlabel="step",
            ylabel="probability of the end",
            title="A model learns to stop",
            ylim=(-0.03, 1.03),
        )
        _axes.legend()
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    This is the picture to keep. Before, the model had never seen this token, and its chance was nothing. For some steps nothing seems to happen. Then it learns *that* replies end, and almost at once *where*. Elsewhere the chance stays small.

    ⭐ Stopping is not built into a model. It is a token like any other, and it is learned.

    ## 5. Before and after

    The same question, before and after. Now it is asked in the form of section 2. After the question comes the head of the assistant's turn, so that it is the model's turn to write. The loop by hand and the package's engine write
    the same.
    """)
    return


@app.cell
def _(LanguageModel, QUESTION, SavedModel, chat, reader, reply, storyworld, template, tokenizer):
    def asked(question):
        """Return the ids of a question in the form, up to where the assistant begins."""
        return template.render([{"role": "user", "content": question}], reply=True).ids

    after, after_ended = reply(chat, asked(QUESTION))
    _engine = LanguageModel(SavedModel(chat, tokenizer, template))
    after_by_package = _engine.reply(QUESTION, temperature=0, max_tokens=40)
    assert tokenizer.decode(after).strip() == str(after_by_package).strip()

    QUESTIONS = [each for each in storyworld.questions() if each.split == "held-in"][:60]

    def measured(model, ask=asked):
        """Return which share of replies ends by itself, names who was asked about, and is right."""
        written = [reply(model, ask(each.question)) for each in QUESTIONS]
        texts = [tokenizer.decode(ids) for ids, _ in written]
        return {
            "ends": sum(ended for _, ended in written) / len(written),
            "names who was asked about": sum(
                each.subject in text for each, text in zip(QUESTIONS, texts, strict=True)
            )
            / len(written),
            "right": sum(each.value in text for each, text in zip(QUESTIONS, texts, strict=True))
            / len(written),
        }

    by_model = {
        "before": measured(reader.model, lambda question: tokenizer.encode(question)),
        "after": measured(chat),
    }
    print(QUESTION, "|", tokenizer.decode(after))
    for _each in QUESTIONS[:4]:
        print(
            _each.question,
            "|",
            tokenizer.decode(reply(chat, asked(_each.question))[0]),
            "| right:",
            _each.expected,
        )
    return after_ended, asked, by_model, measured


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    It answers! One sentence, of the right form, and then it stops. A moment ago it told stories.

    Look at how the answers begin. The model names the person that it was asked about, nearly always. No weight can hold that name, as it changes with each question. Attention has to fetch it from the question, over a dozen tokens. That is
    the copying of chapter 3 at work, and it takes longer to learn than the form does.

    And is it *right*? The questions are about facts which stand in the stories, but in none of the conversations.

    🎯 Your guess: of sixty such questions, which share does it answer with the right value?
    """)
    return


@app.cell
def _():
    guess_4 = None  # a number between 0 and 1
    return (guess_4,)


@app.cell
def _(by_model, guess_4, guessed):
    if guessed(guess_4, by_model["after"]["right"], "of the answers are right"):
        for _name, _shares in by_model.items():
            print(
                f"{_name}: "
                + ", ".join(f"{_share:.0%} {_what}" for _what, _share in _shares.items())
            )
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Fluent, polite, and mostly wrong. ⚠️ Fine-tuning taught it *how* an answer looks. What Greta's favourite colour is, it could only know from reading, and this model read for half a minute. A larger one that had read the stories well knew 85% of such facts. The same
    model from random weights, taught with the same conversations, knew 11% ([record](findings/ladder-respond.md)).

    Some are right, though. The model did read which pet Hugo has, in a story, in other words. The conversations taught it what such a question asks for. Nobody taught the two together.

    So do not believe the form. A model that answers in full sentences sounds as sure when it guesses as when it knows.

    ## 6. Three small mistakes

    Now we break it, in three ways that happen to people every day:

    - **the end is not learned**: the mask has a 0 at `<|im_end|>`;
    - **everything is learned**: the mask is 1 throughout, so the model learns to ask as well;
    - **another form**: the right model is asked with `Question: ... Answer:` instead of its own form.

    🎯 Your guess: of the replies of the first one, whose ends were not learned, which share ends by itself within forty tokens?
    """)
    return


@app.cell
def _():
    guess_5 = None  # a number between 0 and 1
    return (guess_5,)


@app.cell
def _(END, chat, measured, replace, tokenizer, train, tuned):
    _endless = [
        replace(each, mask=[m and i != END for i, m in zip(each.ids, each.mask, strict=True)])
        for each in train
    ]
    _everything = [replace(each, mask=[True] * len(each.ids)) for each in train]
    by_mistake = {
        "none": measured(chat),
        "the end is not learned": measured(tuned(_endless)[0]),
        "everything is learned": measured(tuned(_everything)[0]),
        "another form": measured(
            chat, lambda question: tokenizer.encode(f"Question: {question}\nAnswer: ")
        ),
    }
    print("Two more models are trained, and all are asked.")
    return (by_mistake,)


@app.cell
def _(by_mistake, guess_5, guessed):
    if guessed(guess_5, by_mistake["the end is not learned"]["ends"], "of them end"):
        for _name, _shares in by_mistake.items():
            print(
                f"{_name:<24}"
                + ", ".join(f"{_share:.0%} {_what}" for _what, _share in _shares.items())
            )
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    - Without a learned end, *none* of the replies stops. They answer, and then ramble on to the limit. The training loss looked perfectly well.
    - If everything is learned, the model still answers and stops. It spends a part of its effort on guessing your questions. With long questions and short answers, that is most of it.
    - In a foreign form the same model writes nonsense. Nothing warns you. ⚠️ If a published model seems stupid, look at the template first.

    ## 7. What one may still ask

    **How many conversations?** For the form, few steps were enough above. For knowledge, conversations help only with what they say themselves.

    **How else can it know a fact?** By reading it in the question. If the prompt says that Hugo has a mouse, the answer need only copy it. Programs do this on a large scale: they search documents for what fits a question, and put the passages before it.
    This is called *retrieval*. Facts that change belong there, and not into weights.

    **Can a message break the form?** Not by writing `<|im_end|>`: a message is turned into tokens as plain text, and the special token does not arise. But a message can still *ask* for something else. A text that a program puts into the prompt may hold
    such a request, too. No token says to a model which sentences are orders, and which are only there to be read. That is why nobody should let a model act on foreign texts without a check.

    **What does it forget?** A model that reads nothing but conversations loses some of what it could do before. The usual help is to mix in some of the old text, which is called **rehearsal**. `scratchlm finetune instruct` can.

    **How is it measured?** The loss of held-out replies says little about their use. One asks questions with known answers, as above. Or a judge, human or model, compares two answers. Its habits must be known: many judges prefer the longer
    answer.

    **And then?** Where two answers are compared, one can train on the comparison itself. That makes a model *prefer* one kind of answer. It is the next stage of post-training, and `scratchlm finetune prefer` does it.

    **How do you see that it is enough?** Hold conversations out. As long as their loss falls, training goes on. Where it rises while that of the training conversations still falls, the model learns by heart, as in
    chapter 5.

    **Why does the same question get another answer?** Because the next token is drawn by chance. Above we always took the likeliest. With a temperature above 0 each run may write something else.

    ## 8. What to keep

    - ⭐ A chat model is the same model, with the same loss, on conversations in a fixed form.
    - ⭐ Only the assistant's texts are learned, and the ends of its turns.
    - 🔥 The end of a turn is a token that is learned. Without it, nothing stops.
    - 🔥 Fine-tuning teaches the form. Knowledge comes from reading.
    - ⚠️ The form is a contract: ask in the form of the training, to the last newline.
    - The loss is a mean over all learned tokens of a batch, not over conversations.

    ## 9. Exercises

    ```
    scratchlm learn start 7
    scratchlm learn check 7
    ```

    You write the form, the masked loss, and the loop that replies. Then play with section 4: take `rate=0.3` and 120 steps. The model stops as before. About whom does it answer now? What is learned first, and what later?

    Then talk to a model of your own: `scratchlm finetune instruct --help` says how. The [cards](cards/07-instructions.md) help to remember, with `scratchlm quiz --chapter 7`.
    """)
    return


if __name__ == "__main__":
    app.run()
