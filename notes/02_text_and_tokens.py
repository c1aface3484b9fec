"""Chapter 2: text and tokens. Open it with: marimo edit notes/02_text_and_tokens.py"""

import marimo

app = marimo.App(width="medium", app_title="Text and tokens")


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # Text and tokens

    A network calculates with numbers. It cannot read. So before any learning, somebody decides what a text is made of: letters, words, or something between. The network never sees the text itself, only the row of numbers that this decision makes of it.
    Many odd things that language models do begin here. They count letters badly. They treat a word differently after a space. They pay twice for German.

    In this chapter you build the decision that nearly all models use, byte-pair encoding, and turn its one knob. You see two other ways to cut a text. Then the numbers become vectors, the vectors get places, and the long row of tokens is cut into the pieces that
    a model trains on. At the end of it a batch lies on the table, ready for [chapter 3](03_attention.ipynb).

    ⭐ **Guess before you look.** Set `guess_1` and the others, and only then does a result appear. Write `"skip"` where you would rather not. You need
    [appendix A](A_tensors_and_gradients.ipynb) for the words *tensor* and *shape*. It takes about half a minute to compute. The signs mean the same on [every page](README.md#signs).
    """)
    return


@app.cell
def _():
    import html
    from collections import Counter
    from itertools import pairwise

    import marimo as mo
    import matplotlib.pyplot as plt
    import torch

    from scratchlm import storyworld
    from scratchlm.data.batches import ArrayTokens, WindowBatches
    from scratchlm.lab.course.guessing import guessed
    from scratchlm.lab.harness.outcome import read_outcome
    from scratchlm.lab.harness.plots import STYLE
    from scratchlm.lab.quiz.cards import notes_folder
    from scratchlm.model import minimal
    from scratchlm.tokens import unigram_training
    from scratchlm.tokens.fast import FastBPE
    from scratchlm.tokens.simple import WordTokenizer
    from scratchlm.tokens.wordpiece import WordPieceTokenizer

    plt.rcParams.update(STYLE | {"figure.figsize": (7, 3.2), "figure.constrained_layout.use": True})
    torch.set_printoptions(precision=3, sci_mode=False)
    return (
        ArrayTokens,
        Counter,
        FastBPE,
        WindowBatches,
        WordPieceTokenizer,
        WordTokenizer,
        guessed,
        html,
        minimal,
        mo,
        notes_folder,
        pairwise,
        plt,
        read_outcome,
        storyworld,
        torch,
        unigram_training,
    )  # fmt: skip


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 1. What is a text made of?

    A computer already keeps text as numbers. Each character has one in the Unicode standard, some 150,000 of them. On the disk they lie as **bytes**, numbers from 0 to 255. The usual way to write them, UTF-8, takes one byte for an English letter, and two to four for
    others.

    So the simplest tokens are there for free: the 256 bytes. Nothing is ever unknown to them, no letter, no emoji, no language. The price is length.

    🎯 Your guess: `Grüße ☕` has seven characters. How many bytes are they?
    """)
    return


@app.cell
def _():
    guess_1 = None  # how many bytes
    return (guess_1,)


@app.cell
def _(guess_1, guessed):
    greeting = "Grüße ☕"
    if guessed(guess_1, len(greeting.encode()), "bytes"):
        for _character in greeting:
            print(repr(_character), "is", list(_character.encode()))
    return (greeting,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 2. Why not words?

    One could make each word a token. Then a row is short, and each token means something. But somebody must list the words in advance, and no list is ever complete. What is not on it becomes **unknown**, one token for all of them. The
    model cannot read it, and never write it.

    Here is a list of the 2,000 most frequent words of some stories. It meets a sentence from another world. Put one of your own there if you like.

    🎯 Your guess: `The astronaut's spaceship glittered.` has seven tokens: the apostrophe, the *s* after it and the full stop are some of them. How many of the seven does a list of children's stories not know?
    """)
    return


@app.cell
def _():
    guess_2 = None  # how many of seven
    return (guess_2,)


@app.cell
def _(WordTokenizer, storyworld):
    text = "\n".join(storyworld.stories(400_000, seed=2))
    words = WordTokenizer.train([text], 2000)
    new_sentence = "The astronaut's spaceship glittered."
    sentence_ids = words.encode(new_sentence)
    unknown_words = sentence_ids.count(words.unknown)
    print(f"A text of {len(text):,} characters, and a list of {words.vocabulary_size:,} tokens.")
    return new_sentence, sentence_ids, text, unknown_words, words


@app.cell
def _(guess_2, guessed, sentence_ids, unknown_words, words):
    if guessed(guess_2, unknown_words, "of seven are unknown"):
        print("It comes back as:", words.decode(sentence_ids))
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    What stays is a ruin. And the list wastes its places: *walk*, *walks*, *walked* and *walking* are four strangers to it. Older programs cut the endings off by rules, and threw the ending away with what it said. German makes it worse: it writes words
    together, so that new ones are born each day.

    ## 3. In between: one merge

    **Byte-pair encoding** begins with bytes, and lets the text itself say which of them belong together. One step, again and again: *count all pairs of neighbours, and make the most frequent pair a new token.* It was invented to
    compress files. Take a tiny text of four words: `low` occurs 5 times, `lower` twice, `newest` 6 times and `widest` 3 times.

    🎯 Your guess: how often does the most frequent pair of neighbours occur?
    """)
    return


@app.cell
def _():
    guess_3 = None  # how often
    return (guess_3,)


@app.cell
def _(Counter, pairwise):
    tiny = {"low": 5, "lower": 2, "newest": 6, "widest": 3}

    def pair_counts(cut_words, times):
        """Count neighbours: a pair in a word that occurs five times counts five times."""
        counts = Counter()
        for word, pieces in cut_words.items():
            for pair in pairwise(pieces):
                counts[pair] += times[word]
        return counts

    cut_words = {word: list(word) for word in tiny}
    first_counts = pair_counts(cut_words, tiny)
    print("There are", len(first_counts), "different pairs of neighbours.")
    return cut_words, first_counts, pair_counts, tiny


@app.cell
def _(cut_words, first_counts, guess_3, guessed, pair_counts, tiny):
    if guessed(guess_3, max(first_counts.values()), "times"):
        _cut = {word: list(pieces) for word, pieces in cut_words.items()}
        for _ in range(4):
            _counts = pair_counts(_cut, tiny)
            _left, _right = min(_counts, key=lambda pair: (-_counts[pair], pair))
            for _pieces in _cut.values():
                _place = 0
                while _place < len(_pieces) - 1:
                    if _pieces[_place : _place + 2] == [_left, _right]:
                        _pieces[_place : _place + 2] = [_left + _right]
                    _place += 1
            print(
                f"{_left} + {_right}: {_counts[_left, _right]} times.  ",
                *map("|".join, _cut.values()),
            )
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Look at the order of the merges. `es` came first, and then `est` was made of `es` and `t`: later tokens are built from earlier ones, like a tree. After a few steps `est` is a token. Nobody told the machine about superlatives: the ending is only frequent. ⭐ Frequent words become one token. Rare ones fall into pieces, in the worst case into bytes. Every text can be written in bytes. So a fixed list can write any word, also one that is invented tomorrow.

    ## 4. The whole tokenizer

    The class `Tokenizer` in [minimal.py](../src/scratchlm/model/minimal.py) does just that, with one rule more. The text is first cut into words, and no merge crosses their borders. Otherwise *of the* would become a token, and
    *dog.* would be another than *dog*. A space belongs to the word after it.

    To encode a new text, the merges are applied in the order in which they were learned. The package trains the same with compiled code. Do both agree?

    🎯 Your guess: after 256 merges, how many bytes does a token of these stories cover on average?
    """)
    return


@app.cell
def _():
    guess_4 = None  # bytes per token
    return (guess_4,)


@app.cell
def _(FastBPE, minimal, text):
    ours = minimal.Tokenizer(text[:100_000], 512)
    _pattern = minimal.PATTERN
    packaged = FastBPE.train([text[:100_000]], 512, pattern=_pattern)
    _piece = text[100_000:110_000]
    ids_of_ours, ids_of_package = ours.encode(_piece), packaged.encode(_piece)
    assert ids_of_ours == ids_of_package
    assert ours.decode(ids_of_ours) == _piece
    bytes_per_token = len(_piece.encode()) / len(ids_of_ours)
    print("minimal.py and the package give the same ids, and both give the text back.")
    return bytes_per_token, ids_of_ours, ids_of_package, ours, packaged


@app.cell
def _(bytes_per_token, guess_4, guessed, ours):
    if guessed(guess_4, bytes_per_token, "bytes per token"):
        _tokens = [token.decode(errors="replace") for token in ours.bytes]
        print("first merges:", _tokens[256:272])
        print("last ones   :", _tokens[-12:])
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    A row that is half as long costs half as much, or less. And in a window of the same length the model reads twice as far back.

    Numbers are worth a look too. The package cuts each digit off by itself, so that 1,234 is always the same four digits. Early models took whatever was frequent: 2016 was one token, 2017 perhaps two, and adding them up was a riddle.

    ⚠️ But the model does not see letters any more. ` the` with a space is one token, and `the` at the beginning of a line is another: two rows of numbers with nothing in common, until training makes them alike. Ask a model how many letters *e* are in a
    word, and you ask it something that it never saw.

    ## 5. The knob

    How many merges? Here is one paragraph under a slider. Each colour is a token. In marimo, drag it. In Jupyter, change `value=2` and run again.
    """)
    return


@app.cell
def _(mo):
    merges = mo.ui.slider(0, 6, value=2, label="256, 320, 512, 1,024, 2,048, 4,096 or 6,000 tokens")
    merges
    return (merges,)


@app.cell
def _(FastBPE, text):
    by_size = {}
    for _size in (256, 320, 512, 1024, 2048, 4096, 6000):
        try:
            by_size[_size] = FastBPE.train([text], _size)
        except ValueError:  # the stories have no further pair
            break
    print("Tokenizers:", *by_size)
    return (by_size,)


@app.cell
def _(by_size, html, merges, mo, storyworld):
    paragraph = next(iter(storyworld.stories(2000, seed=9)))[:420]
    _size = list(by_size)[min(merges.value, len(by_size) - 1)]
    _tokenizer = by_size[_size]
    _ids = _tokenizer.encode(paragraph)
    _colours = ("#fde2b3", "#cfe3f7", "#d8efd0", "#f3d3e6")
    _spans = [
        f'<span style="background:{_colours[at % 4]};color:#222">'
        f"{html.escape(_tokenizer.token_bytes(each).decode(errors='replace'))}</span>"
        for at, each in enumerate(_ids)
    ]
    mo.Html(
        f"<p>{_size:,} tokens in the vocabulary, {len(_ids)} in the paragraph</p>"
        f'<p style="white-space:pre-wrap;line-height:1.7">{"".join(_spans)}</p>'
    )
    return (paragraph,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    More merges make the row shorter, and each step of training reads more text. So why not a million? Each token needs a row in the table of embeddings, and a score at each place. And a token that occurs ten times in the whole text
    has ten chances to be learned.

    The experiment `scratchlm experiment vocabulary` measures it. One architecture is trained on books with seven vocabularies, with equal compute, each at its best learning rate. The score is in **bits per byte**. A loss per token would be useless here, since
    a token covers another amount of text each time.

    🎯 Your guess: which vocabulary needs the fewest bits per byte: 256, 512, 1024, 2048, 4096, 8192 or 16384?
    """)
    return


@app.cell
def _():
    guess_5 = None  # a size of the vocabulary
    return (guess_5,)


@app.cell
def _(notes_folder, read_outcome):
    vocabularies = read_outcome(notes_folder() / "results" / "vocabulary.json")
    bits = {
        int(_key.removeprefix("bpe-").removesuffix(".bits_per_byte")): _value
        for _key, _value in vocabularies.values.items()
        if _key.startswith("bpe-") and _key.endswith(".bits_per_byte")
    }
    best_size = min(bits, key=lambda size: bits[size].value)
    print("The result has the sizes:", *bits)
    return best_size, bits, vocabularies


@app.cell
def _(best_size, bits, guess_5, guessed, plt, vocabularies):
    if guessed(guess_5, best_size, "tokens need the fewest"):
        for _size, _bits in bits.items():
            _rare = vocabularies.values[f"bpe-{_size}.rare"].value
            print(
                f"{_size:>6} tokens: {_bits.value:.3f} bits per byte; seen less than ten times: {_rare:.0%}"
            )
        _, _axes = plt.subplots()
        _axes.errorbar(
            list(bits),
            [each.value for each in bits.values()],
            yerr=[
                [each.value - each.ends[0] for each in bits.values()],
                [each.ends[1] - each.value for each in bits.values()],
            ],
            capsize=3,
        )
        _axes.set(
            xscale="log", xlabel="tokens in the vocabulary", ylabel="bits per byte",
            title="Too few, then enough",
        )  # fmt: skip
        _axes.set_xticks(list(bits), [f"{each:,}" for each in bits])
        _axes.minorticks_off()
        plt.show()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    This is the picture to keep. First the curve falls: longer tokens are cheaper for each byte. Then it is flat. From 4,096 tokens to 16,384 nothing is gained, and that anything is lost could not be shown. What happened? Look at the last column. Of the largest
    vocabulary most tokens stand less than ten times in the whole text. And its output layer is so wide that it had a third of the steps.

    ⚠️ The second reason is the stronger one. Given as much *text* as the others, at twice the compute, the largest vocabulary needed fewer bits, not more. So a token too many costs time before it costs anything else. Published models read a million times
    more text, their layers are much wider than ours, and they have vocabularies of 50,000 to 250,000.

    ## 6. Two other ways to cut

    Byte-pair encoding is greedy: it never takes a merge back. Two other methods are in wide use.

    - **WordPiece**, of BERT, keeps a set of tokens, and no merges. It encodes by taking the longest token that fits, again and again. A token that continues a word is another one than a token that begins it.
    - **Unigram**, of T5, begins with far too many tokens. Each has a probability. It drops those that the text misses least, until few enough are left. It encodes by the most probable cut, which it finds among all cuts of a word.

    All three get equal text and 600 tokens.

    🎯 Your guess: into how many tokens does Unigram cut ` blackberries`, with its space?
    """)
    return


@app.cell
def _():
    guess_6 = None  # how many tokens
    return (guess_6,)


@app.cell
def _(FastBPE, WordPieceTokenizer, text, unigram_training):
    _part = text[:100_000]
    three_kinds = {
        "BPE": FastBPE.train([_part], 600),
        "WordPiece": WordPieceTokenizer.train([_part], 600),
        "Unigram": unigram_training.train([_part], 600),
    }
    word_cuts = {
        name: [tokenizer.token_bytes(id).decode() for id in tokenizer.encode(" blackberries")]
        for name, tokenizer in three_kinds.items()
    }
    _tested = text[200_000:220_000]
    kind_bytes = {
        name: len(_tested) / len(tokenizer.encode(_tested))
        for name, tokenizer in three_kinds.items()
    }
    print("Three tokenizers are trained.")
    return kind_bytes, three_kinds, word_cuts


@app.cell
def _(guess_6, guessed, kind_bytes, word_cuts):
    if guessed(guess_6, len(word_cuts["Unigram"]), "tokens"):
        for _name, _pieces in word_cuts.items():
            print(f"{_name:<10}", "|".join(_pieces), f"({kind_bytes[_name]:.2f} bytes per token)")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    With so few tokens each method falls back to short pieces in a word that it hardly knows. In the experiment above, where all were trained at one size, they lie closer together than the sizes do: see [the record](findings/vocabulary.md).

    ## 7. From ids to vectors

    An id is only a name. Token 300 is not twice token 150. So each id gets a vector of its own, from a table with a row for each token: the **embedding**. At the beginning the rows are random. Training moves them, and tokens that are used alike
    come to lie near each other.

    To look a row up is the same as a product with a **one-hot** vector. That is 1 at the place of the id and 0 elsewhere. The lookup only skips the multiplications by zero.

    A second table has a row for each *place*. Without it, *dog bites man* and *man bites dog* would be the same three vectors. Both rows are added.

    🎯 Your guess: the word *the* stands at two places of a text. How many of the 16 numbers that the model gets for it are the same at both places?
    """)
    return


@app.cell
def _():
    guess_7 = None  # how many of 16
    return (guess_7,)


@app.cell
def _(torch):
    torch.manual_seed(0)
    token_table, place_table = torch.randn(512, 16), 0.1 * torch.randn(64, 16)
    some_ids = torch.tensor([300, 41, 300])
    looked_up = token_table[some_ids]
    one_hot = torch.nn.functional.one_hot(some_ids, 512).float()
    lookup_gap = (one_hot @ token_table - looked_up).abs().max().item()
    assert lookup_gap == 0
    entering = looked_up + place_table[:3]
    equal_numbers = int((entering[0] == entering[2]).sum())
    alike = torch.cosine_similarity(entering[0], entering[2], dim=0).item()
    print("The lookup and the product with one-hot vectors are the same.")
    return alike, entering, equal_numbers, lookup_gap


@app.cell
def _(alike, equal_numbers, entering, guess_7, guessed):
    if guessed(guess_7, equal_numbers, "of 16"):
        print("place 0:", entering[0][:6])
        print("place 2:", entering[2][:6])
        print(f"But their directions are alike: cosine {alike:.3f}, where 1 is equal.")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    So the model can ask both: which token is it, and where does it stand. Chapter 4 shows another way to give places, which most models of today use.

    ## 8. Windows

    The text is now one long row of ids. A model reads a fixed number of them at once, its **context**. So the row is cut into **windows**. The target of each place is the token after it: the same window, moved on by one. One window of 64 tokens asks 64 questions.

    The distance between two beginnings is the **stride**. With a stride as long as the window, each token is a target once. With a smaller one windows overlap, and tokens are seen several times in one pass, each time with another amount of text before it.

    🎯 Your guess: 1,000 tokens, windows of 64, a stride of 64. How many whole windows with all their targets are there?
    """)
    return


@app.cell
def _():
    guess_8 = None  # how many windows
    return (guess_8,)


@app.cell
def _(ArrayTokens, WindowBatches, ids_of_ours, minimal, torch):
    row = torch.tensor(ids_of_ours[:1000])
    context, stride = 64, 64
    starts = torch.arange(0, len(row) - context, stride)
    by_hand = minimal.windows(row, starts, context)  # (windows, context + 1)
    inputs, targets = by_hand[:, :-1], by_hand[:, 1:]

    _batches = WindowBatches(ArrayTokens(row.numpy()), len(starts), context, seed=0, offsets=False)
    _batch, _ = next(iter(_batches()))
    _order = _batch.starts.argsort()  # the package shuffles
    windows_equal = bool(
        (_batch.ids[_order] == inputs).all() and (_batch.targets[_order] == targets).all()
    )
    assert windows_equal
    overlapping = len(range(0, len(row) - context, 16))
    print("The windows by hand are those of the package, before it shuffles them.")
    return by_hand, inputs, overlapping, targets, windows_equal


@app.cell
def _(guess_8, guessed, inputs, ours, overlapping, targets):
    if guessed(guess_8, len(inputs), "windows"):
        print(f"With a stride of 16 there are {overlapping}.")
        for _place in range(3):
            _before = ours.decode(inputs[0, : _place + 1].tolist())
            print(f"{_before!r} is followed by {ours.decode([int(targets[0, _place])])!r}")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Fifteen, and 40 tokens are left over. The last window needs a token after its end, or its last question would have no answer. 🔥 Off by one here is a classic mistake: who forgets to move the targets trains a model to repeat its input. Its loss falls to zero
    within minutes, and it is useless.

    The package moves the beginnings in each pass, so that the leftover tokens have their turn, and each token meets other neighbours.

    ## 9. What comes before all this

    Text from the world is dirty, and no training cleans it. `scratchlm prepare` repairs broken characters, and drops what is there twice. It holds out whole documents by their hash, so that a test text never slips into training. It names each thing that it
    drops.

    Between documents it writes a **special token**, `<|endoftext|>`. It tells the model that nothing after it has to do with what came before. No text can contain it: who types these letters gets ordinary tokens, a `<`, a `|` and so on. Otherwise
    a visitor could end the model's world by typing. Chapter 7 needs more tokens of this kind, for the turns of a conversation.

    One question is left for you to decide: what is a document? A book, a chapter, a message? A window may hold the end of one and the beginning of the next, and the model has to live with it. That costs little, and all rows are full.

    ## 10. What to keep

    - A model sees ids, not letters. What is one token is decided before any training.
    - Bytes know everything and are long. Words are short and know nothing new.
    - ⭐ Byte-pair encoding merges the most frequent pair, again and again. Frequent words become one token, and any word can be written.
    - 💡 A larger vocabulary makes rows shorter and steps dearer: at equal compute bits per byte fall, and then stay.
    - ⚠️ Losses per token of two tokenizers cannot be compared. Bits per byte can.
    - An embedding is a table of vectors. A lookup is a product with a one-hot vector. Places have vectors too.
    - 🔥 Targets are the inputs, moved on by one.

    ## 11. Exercises

    ```
    scratchlm learn start 2      # writes gpt.py
    scratchlm learn check 2.1    # names your mistake, if there is one
    ```

    You write the merge, the training, the encoding and the windows. Then `scratchlm tokenizer train` makes tokenizers of your own text, `--kind unigram` among them, and `scratchlm tokenizer inspect` shows what they do to a sentence. The
    [cards](cards/02-text-and-tokens.md) help to remember, with `scratchlm quiz --chapter 2`.
    """)
    return


if __name__ == "__main__":
    app.run()
