"""The decoder's configuration: one frozen dataclass for each interchangeable part.

A part is chosen by the type of its configuration, never by a flag or a name. This file imports no torch, so commands
answer `--help` without loading it.

Shape legend used in the whole package: `B` batch, `T` time (positions), `V` vocabulary, `D` width, `H` query heads,
`K` key-value heads, `E` head width, `L` layers, `S` positions a query may see (cache included).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.ranges import Decay, Length, Positive, Range, Width, out_of_range


@dataclass(frozen=True)
class RMSNormConfig:
    """Root-mean-square norm (Zhang and Sennrich 2019, arXiv 1910.07467)."""

    type: ClassVar[str] = "rms"
    eps: Positive = 1e-6
    """Added to the mean square before the root."""
    weight: bool = True
    """Whether each channel is scaled by a learned weight."""
    unit_offset: bool = False
    """Whether the weight is stored less one, as Gemma stores it, so that decay pulls the scale to one."""


@dataclass(frozen=True)
class LayerNormConfig:
    """Layer norm (Ba et al. 2016, arXiv 1607.06450), as GPT-2 uses it."""

    type: ClassVar[str] = "layer"
    eps: Positive = 1e-5
    """Added to the variance before the root."""
    bias: bool = True
    """Whether a learned bias follows the learned weight."""


@dataclass(frozen=True)
class NoScalingConfig:
    """Positions turn as `theta` says."""

    type: ClassVar[str] = "none"


@dataclass(frozen=True)
class LinearScalingConfig:
    """Every pair turns more slowly, so that a longer text stays within known angles (Chen et al. 2023, 2306.15595)."""

    type: ClassVar[str] = "linear"
    factor: Positive = 2.0
    """How many times longer every wavelength is."""


@dataclass(frozen=True)
class Llama3ScalingConfig:
    """Long wavelengths are stretched, short ones stay, those between go over (Llama 3, arXiv 2407.21783)."""

    type: ClassVar[str] = "llama3"
    factor: Positive = 8.0
    """How many times longer the long wavelengths are."""
    low_frequency_factor: Positive = 1.0
    """Wavelengths over original_context / this are long."""
    high_frequency_factor: Positive = 4.0
    """Wavelengths under original_context / this are short."""
    original_context: Length = 8192
    """Positions that the model was first trained on."""


ScalingConfig = NoScalingConfig | LinearScalingConfig | Llama3ScalingConfig


@dataclass(frozen=True)
class RopeConfig:
    """Rotary positions (Su et al. 2021, arXiv 2104.09864), halves paired as in Llama's Hugging Face layout."""

    type: ClassVar[str] = "rope"
    theta: Positive = 10_000.0
    """Base of the wavelengths; a larger one turns more slowly."""
    scaling: ScalingConfig = field(default_factory=NoScalingConfig)
    local_theta: Annotated[float | None, Range(over=0)] = None
    """Base in layers that see a window alone, where no scaling applies (Gemma 3); none: theta and scaling there too."""
    partial_rotary_factor: Annotated[float, Range(over=0, most=1)] = 1.0
    """Fraction of a head's channels that are rotated, the first ones; the others carry no position (Phi)."""


@dataclass(frozen=True)
class LearnedPositionsConfig:
    """One learned vector for each position, added to the token embedding, as in GPT-2."""

    type: ClassVar[str] = "learned"


@dataclass(frozen=True)
class NoPositionsConfig:
    """No position signal: the causal mask alone breaks the symmetry (Haviv et al. 2022, arXiv 2203.16634)."""

    type: ClassVar[str] = "none"


@dataclass(frozen=True)
class AttentionConfig:
    """Causal self-attention, multi-head or grouped-query (Ainslie et al. 2023, arXiv 2305.13245)."""

    type: ClassVar[str] = "grouped"
    heads: Width = 4
    """Query heads."""
    kv_heads: Width = 2
    """Key-value heads; each serves heads / kv_heads query heads. Equal to heads: multi-head attention."""
    head_dim: Width = 32
    """Width of one head."""
    qk_norm: bool = True
    """Whether queries and keys are RMS-normalised, as in Qwen3."""
    qk_norm_span: Literal["head", "all"] = "head"
    """What one such norm spans: each head (Qwen3, Gemma 3) or all heads together (OLMo 2)."""
    qk_norm_weight: bool = True
    """Whether such a norm scales each channel by a learned weight."""
    qk_norm_rotated: bool = False
    """Whether such a norm comes after the rotation (nanochat) instead of before."""
    query_scale: Annotated[float | None, Range(over=0)] = None
    """What scores are multiplied by; none: 1 / sqrt(head_dim)."""
    bias: bool = False
    """Whether the query, key and value projections have a bias."""
    output_bias: bool = False
    """Whether the output projection has a bias."""
    window: Annotated[int | None, Range(1)] = None
    """How many positions back a query sees, itself included; none: all of them."""
    global_layers: Annotated[tuple[int, ...], Range(0)] = ()
    """Layers, counted from 0, that see all positions in spite of a window (Gemma 3: every sixth)."""
    softcap: Annotated[float | None, Range(over=0, most=1e6)] = None
    """Scores become softcap * tanh(scores / softcap), as in Gemma 2; forces the naive path."""
    implementation: Literal["fused", "naive"] = "fused"
    """fused: torch's scaled_dot_product_attention, or blocks of products where they are faster (bf16 on a CPU); naive:
    every step written out. Equal, and tested so."""

    @property
    def key_dim(self) -> int:
        """Width of a key of one head."""
        return self.head_dim

    @property
    def value_dim(self) -> int:
        """Width of a value of one head."""
        return self.head_dim

    @property
    def rope_dim(self) -> int:
        """Channels of a key that rotary positions may turn."""
        return self.head_dim


@dataclass(frozen=True)
class LatentAttentionConfig:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): all heads' keys and values from one short vector.

    A cache keeps latent_dim + rope_dim numbers a position and layer, however many heads there are.
    """

    type: ClassVar[str] = "latent"
    heads: Width = 4
    """Heads."""
    latent_dim: Width = 64
    """Width of the vector that keys and values are made of; DeepSeek's kv_lora_rank."""
    query_rank: Annotated[int | None, Range(1, 1 << 20)] = None
    """Width that queries go through first; none: no such step. DeepSeek's q_lora_rank."""
    nope_dim: Width = 32
    """Channels of a key that carry no position, of each head; DeepSeek's qk_nope_head_dim."""
    rope_dim: Width = 16
    """Channels of a key that carry the position, shared by all heads; DeepSeek's qk_rope_head_dim."""
    value_dim: Width = 32
    """Width of a value of one head; DeepSeek's v_head_dim."""
    implementation: Literal["fused", "naive"] = "fused"
    """fused: torch's scaled_dot_product_attention; naive: every step written out. Equal, and tested so."""

    @property
    def key_dim(self) -> int:
        """Width of a key of one head."""
        return self.nope_dim + self.rope_dim


@dataclass(frozen=True)
class SwiGLUConfig:
    """Gated feed-forward, silu(x G) * (x U), then down (Shazeer 2020, arXiv 2002.05202)."""

    type: ClassVar[str] = "swiglu"
    hidden: Width = 384
    """Width between the projections."""
    activation: Literal["silu", "gelu_tanh"] = "silu"
    """What the gate goes through; with gelu_tanh, Gemma's, the layer is called GeGLU."""
    bias: bool = False
    """Whether the projections have a bias."""


@dataclass(frozen=True)
class ExpertsConfig:
    """A mixture of gated feed-forwards: a router chooses some of them for each token (Qwen3's form).

    Shazeer et al. 2017, arXiv 1701.06538. Nothing here keeps the experts evenly used, so this part is for models that
    were trained elsewhere.
    """

    type: ClassVar[str] = "experts"
    hidden: Width = 128
    """Width between the projections of one expert."""
    experts: Annotated[int, Range(1, 65_536)] = 8
    """Feed-forwards in a layer."""
    chosen: Annotated[int, Range(1)] = 2
    """How many of them a token goes through."""
    normalised: bool = True
    """Whether the weights of the chosen experts are made to sum to one."""


@dataclass(frozen=True)
class MLPConfig:
    """Plain feed-forward: up, activation, down."""

    type: ClassVar[str] = "mlp"
    hidden: Width = 512
    """Width between the projections."""
    activation: Literal["gelu", "gelu_tanh", "relu_squared"] = "gelu_tanh"
    """gelu_tanh is GPT-2's; relu_squared is Primer's (So et al. 2021, arXiv 2109.08668)."""
    bias: bool = False
    """Whether both projections have a bias."""


@dataclass(frozen=True)
class NoX0ResidualConfig:
    """The stream carries the token embedding to the last layer by addition alone."""

    type: ClassVar[str] = "none"


@dataclass(frozen=True)
class X0ResidualConfig:
    """Before each block the stream becomes a * stream + b * embedding, a and b learned for each layer.

    The x0 residual of modded-nanogpt (Jordan et al. 2024). The embedding is RMS-normalised first.
    """

    type: ClassVar[str] = "embedding"
    initial: float = 0.1
    """Initial b; the initial a is 1."""


@dataclass(frozen=True)
class NoValueEmbeddingConfig:
    """Values are projections of the stream alone."""

    type: ClassVar[str] = "none"


@dataclass(frozen=True)
class ValueEmbeddingConfig:
    """Every second layer, the last included, adds a vector of the token itself to its values, through a gate.

    The gate, one number from 0 to 2 for each head, is read from the first channels of the layer's input and starts
    at 1. After modded-nanogpt and nanochat (Karpathy 2025). A table costs memory and next to no time.
    """

    type: ClassVar[str] = "table"
    gate_channels: Width = 32
    """Channels of the input that the gate reads, at most the width."""


@dataclass(frozen=True)
class NoNgramsConfig:
    """A token's embedding is its own alone."""

    type: ClassVar[str] = "none"


@dataclass(frozen=True)
class NgramEmbeddingConfig:
    """Tables of pairs of tokens, triples and so on, added to the embedding; they start at zero.

    The bigram-hash embedding of modded-nanogpt. A table costs memory and next to no time.
    """

    type: ClassVar[str] = "hashed"
    longest: Annotated[int, Range(2, 64)] = 2
    """Tokens of the longest n-gram; there is a table for each length from 2."""
    rows: Annotated[int, Range(1, 1 << 30)] = 16_384
    """Most rows of a table; n-grams share rows by hash where there are more."""


@dataclass(frozen=True)
class NoMultiTokenPredictionConfig:
    """Only the next token is learned."""

    type: ClassVar[str] = "none"


@dataclass(frozen=True)
class MultiTokenPredictionConfig:
    """A second head learns the token after the next, in training alone.

    Multi-token prediction (Gloeckle et al. 2024, arXiv 2404.19737): a stream that must also know what comes later
    learns less by heart from a text that is read many times. Answers, scores and the loss that is logged are the next
    token's alone.
    """

    type: ClassVar[str] = "head"
    weight: float = 0.3
    """Weight of its loss beside 1 for the next token's."""


NormConfig = RMSNormConfig | LayerNormConfig
AttentionChoice = AttentionConfig | LatentAttentionConfig
X0ResidualChoice = NoX0ResidualConfig | X0ResidualConfig
NgramsConfig = NoNgramsConfig | NgramEmbeddingConfig
MultiTokenPredictionChoice = NoMultiTokenPredictionConfig | MultiTokenPredictionConfig
ValuesConfig = NoValueEmbeddingConfig | ValueEmbeddingConfig


@dataclass(frozen=True)
class NoClassesConfig:
    """The model writes: hidden states become logits of tokens."""

    type: ClassVar[str] = "none"


@dataclass(frozen=True)
class ClassesConfig:
    """A second head scores classes of a whole text; one class alone is a reward (Ouyang et al. 2022)."""

    type: ClassVar[str] = "classes"
    count: Annotated[int, Range(1, 1 << 20)] = 2
    """Outputs of the head."""
    pooling: Literal["last", "mean"] = "last"
    """What of a text the head reads: the hidden state of its last token, or the mean of all."""


ClassesChoice = NoClassesConfig | ClassesConfig
PositionsConfig = RopeConfig | LearnedPositionsConfig | NoPositionsConfig
FeedForwardConfig = SwiGLUConfig | MLPConfig | ExpertsConfig


@dataclass(frozen=True)
class DecoderConfig:
    """A decoder-only transformer: embedding, blocks, final norm, head."""

    vocabulary_size: Annotated[int, Range(1, 1 << 24)] = 4096
    """Rows of the embedding; taken from the tokenizer when a run begins."""
    context: Length = 256
    """Most positions that one forward pass may see."""
    width: Width = 128
    """Channels of the residual stream."""
    layers: Annotated[int, Range(1, 1000)] = 4
    """Blocks."""
    norm: NormConfig = field(default_factory=RMSNormConfig)
    norm_places: Literal["before", "after", "both"] = "before"
    """Where a branch is normalised: what it reads (Llama), what it adds (OLMo 2), or both (Gemma 3)."""
    positions: PositionsConfig = field(default_factory=RopeConfig)
    attention: AttentionChoice = field(default_factory=AttentionConfig)
    feed_forward: FeedForwardConfig = field(default_factory=SwiGLUConfig)
    x0_residual: X0ResidualChoice = field(default_factory=NoX0ResidualConfig)
    values: ValuesConfig = field(default_factory=NoValueEmbeddingConfig)
    ngrams: NgramsConfig = field(default_factory=NoNgramsConfig)
    multi_token_prediction: MultiTokenPredictionChoice = field(default_factory=NoMultiTokenPredictionConfig)
    classes: ClassesChoice = field(default_factory=NoClassesConfig)
    embedding_scale: Annotated[float | None, Range(over=0, most=1e6)] = None
    """What embeddings are multiplied by; Gemma's is sqrt(width)."""
    embedding_norm: bool = False
    """Whether embeddings are RMS-normalised, without a weight, before the first layer (nanochat)."""
    tied: bool = True
    """Whether the head is the embedding's transpose (Press and Wolf 2016, arXiv 1608.05859)."""
    dropout: Decay = 0.0
    """Probability that a number of the embedding's or a branch's output is zeroed in training."""
    logit_softcap: Annotated[float | None, Range(over=0, most=1e6)] = None
    """Logits become softcap * tanh(logits / softcap)."""
    init_std: Annotated[float, Range(0, 1000)] = 0.02
    """Standard deviation of the random initial weights."""
    zero_init_outputs: bool = False
    """Whether each branch's last projection starts at zero, so that every block starts as the identity."""

    def __post_init__(self) -> None:
        """Check ranges and what no single field shows; every problem is reported at once."""
        attention, second = self.attention, self.multi_token_prediction
        problems = out_of_range(self, "model")

        def sound(*names: str) -> bool:  # a size that is none has no proportions
            return not any(problem.startswith(f"model.{name} is") for problem in problems for name in names)

        if isinstance(second, MultiTokenPredictionConfig) and sound("multi_token_prediction.weight"):
            remedy = 'to learn the next token alone, give [model.multi_token_prediction] of a recipe the type "none"'
            if not second.weight > 0:
                problems.append(f"model.multi_token_prediction.weight is {second.weight}: must be over 0; {remedy}")
        latent = isinstance(attention, LatentAttentionConfig)
        of_head = "rope_dim" if latent else "head_dim"
        if isinstance(self.positions, RopeConfig) and sound(f"attention.{of_head}", "positions.partial_rotary_factor"):
            turned = int(attention.rope_dim * self.positions.partial_rotary_factor)
            if turned % 2:
                problems.append(
                    f"model.attention.{of_head} is {attention.rope_dim}, of which {turned} turn: rotary positions need "
                    "an even number of channels"
                )
        if latent and isinstance(self.values, ValueEmbeddingConfig):
            problems.append('model.values: not beside latent attention, whose values come from its vector; give "none"')
        mixture = self.feed_forward
        if isinstance(mixture, ExpertsConfig) and not 1 <= mixture.chosen <= mixture.experts:
            problems.append(
                f"model.feed_forward.chosen is {mixture.chosen}: must be from 1 to the {mixture.experts} experts"
            )
        if isinstance(attention, AttentionConfig):
            if sound("attention.heads", "attention.kv_heads") and attention.heads % attention.kv_heads:
                problems.append(
                    f"model.attention.heads is {attention.heads} and kv_heads is {attention.kv_heads}: "
                    "heads must be a multiple of kv_heads"
                )
            stray = [layer for layer in attention.global_layers if not 0 <= layer < self.layers]
            if stray:
                problems.append(f"model.attention.global_layers names {stray[0]}: layers are 0 to {self.layers - 1}")
        raise_all(problems)


def grouped(config: DecoderConfig) -> AttentionConfig:
    """Return the attention of a model where nothing but grouped-query attention will do; `UserError` for another."""
    if not isinstance(config.attention, AttentionConfig):
        raise UserError(
            f"model.attention is of the kind {config.attention.type!r}: this works with "
            f"{AttentionConfig.type!r} attention alone; take a model that has it"
        )
    return config.attention
