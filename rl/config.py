"""The settings of the rl layer, with every default. Importing this loads no torch."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from doubleback.rewards.settings import MayChange, Mebibytes, Section
from doubleback.rl.types import ModelSource, Sampling

Positive = Annotated[float, Field(gt=0)]
MOST_TOKENS = 8192
"""Most tokens of a microbatch on `auto`: larger ones take memory and gain no time."""
MOST_SAMPLES = 1 << 16
"""Most completions of one problem."""
MOST_LAG = 8
"""Most steps of rollout.max_lag: what learns from older samples than that is another method."""
Rank = Annotated[int, Field(ge=1, le=1 << 16)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
LAST_BITS = MayChange("the same sums in another order: last bits differ")


class ModelConfig(Section):
    """The base that is adapted."""

    short_for = "path"

    path: str
    """Base model: a folder, a Hugging Face id (`OWNER/NAME@REVISION` for one of its commits, tags or branches),
    `bundled:NAME` for one that is shipped with doubleback; in a recipe also a name of the table of models (doubleback
    list), which says where it starts from. `model=NAME` is short for it."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the frozen base in trainer and engine. Adapter, optimiser and log-softmax are always float32."""
    max_length: Annotated[int, Field(ge=2, le=1 << 24)] = 256
    """Context in tokens: longest prompt + sampling.max_tokens must fit."""
    head_dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision in which trainer and engine compute the logits from the last hidden states, of a base in bfloat16 too:
    rounded logits are the largest part of what parts the two. `bfloat16`: as such a base would, on both sides."""

    @model_validator(mode="after")
    def _head_is_no_coarser(self) -> "ModelConfig":
        if self.dtype == "float32" and self.head_dtype != "float32":
            raise ValueError(
                f"model.head_dtype={self.head_dtype} is for a base in bfloat16, and model.dtype={self.dtype}; leave "
                "the first at float32 or set the second to bfloat16"
            )
        return self

    def source(self, path: str) -> ModelSource:
        """As it is loaded, from `path`: where a base of ours, or a tiny one in its place, lies."""
        return ModelSource(path, self.dtype, self.max_length, self.head_dtype)


class LoraSettings(Section):
    """The adapter: which matrices, of what rank."""

    rank: Rank = 32
    """Rank of every adapted matrix."""
    expert_rank: Rank | None = None
    """Rank of each routed expert's matrices, per expert. `null`: rank // the experts that a token is sent to, 1 at
    least, so that a token meets as much rank in its experts as elsewhere."""
    alpha: Positive = 32.0
    """The update is scaled by alpha / rank, each part by its own rank."""
    init: str | None = None
    """Start from an earlier adapter of the same base and shape: a run's folder, for its newest, or a folder in PEFT's
    layout. The optimiser starts anew; init.json in the run's folder has the adapter's hash. `null`: a fresh one."""
    targets: Literal["attention", "experts", "all"] = "all"
    """What carries an adapter. `all`: attention, routed experts, and dense feed-forward layers where there are any
    (shared experts, first layers, dense models). Embeddings and norms are always frozen."""
    train_router: bool = False
    """Adapt the router too. Off by default: it then chooses experts for reasons that the experts never saw."""
    expert_compute: Literal["grouped", "peft"] = "grouped"
    """How experts with an adapter are computed: `grouped` keeps the low rank apart from the frozen product, `peft`
    materialises W + B A. Equal up to rounding; `grouped` is faster and smaller: see `rl.policy.experts`."""


class SamplingConfig(Section):
    """How completions are drawn in training."""

    group_size: Annotated[int, Field(ge=2, le=MOST_SAMPLES)] = 8
    """Completions per problem. Advantages are relative to this group."""
    temperature: Annotated[float, Field(ge=0.01)] = 1.0
    """Softmax temperature of the sampler; log-probabilities on both sides are taken at it. vLLM has none below 0.01."""
    max_tokens: Annotated[int, Field(ge=1)] = 128
    """Longest completion in tokens, end-of-sequence included. Longer ones are cut off: finish_reason "length"."""
    stop: list[str] = []  # noqa: RUF012  (frozen, validated, never shared)
    """Strings at which a completion ends. Its tokens hold them, its text does not."""

    def sampling(self, group_size: int | None = None) -> Sampling:
        """As an engine takes it; `group_size` instead of the recipe's, for an evaluation."""
        return Sampling(group_size or self.group_size, self.temperature, self.max_tokens, tuple(self.stop))


class ProblemsConfig(Section):
    """Which problems are drawn: a filter by running pass rate, a curriculum by level."""

    min_pass_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Problems whose running pass rate is below this rest (too hard to learn from)."""
    max_pass_rate: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Problems whose running pass rate is above this rest (nothing left to learn)."""
    memory: Fraction = 0.5
    """Share of the former rate in a running pass rate; the rest is the newest group's. 0: the newest alone."""
    rest_epochs: Annotated[int, Field(ge=1)] = 2
    """Epochs that a resting problem is left out; then it is tried again."""
    level: str | None = None
    """Column of the problems with their level, a whole number: a curriculum from the lowest level on. `null`: none."""
    promote_at: Annotated[float, Field(gt=0, le=1)] = 0.6
    """The next level is added once the running pass rate of the highest level so far reaches this."""

    @model_validator(mode="after")
    def _no_contradictions(self) -> "ProblemsConfig":
        if findings := list(self._findings()):
            raise ValueError("\n".join(findings))
        return self

    def _findings(self) -> Iterator[str]:
        if self.min_pass_rate > self.max_pass_rate:
            yield (
                f"problems.min_pass_rate={self.min_pass_rate} is above problems.max_pass_rate={self.max_pass_rate}: "
                "every problem would rest; lower the first or raise the second"
            )
        if not self.has_filter:
            yield from self.without_effect("problems", ("rest_epochs",), "max_pass_rate", "less than 1")
        if self.level is None:
            yield from self.without_effect("problems", ("promote_at",), "level", "a column of the problems")
        if self.level is None and not self.has_filter:
            yield from self.without_effect("problems", ("memory",), "max_pass_rate", "less than 1")

    @property
    def has_filter(self) -> bool:
        """Whether any running pass rate can let a problem rest."""
        return self.min_pass_rate > 0 or self.max_pass_rate < 1


class DemonstrationsConfig(Section):
    """Completions that are given, in place of sampled ones: what `kind: sft` learns to imitate."""

    short_for = "source"

    source: str = "gold"
    """`gold`: what the task holds for a perfect answer to each training problem. A name of the task's own traces, as
    `search` of countdown. Or a file of rows (JSON lines and the other forms that task.train takes) with `completion`,
    of the training problem that `problem` names by its id, or `question` by its text; a question may have several. Or
    a run of `kind: sample`: what it kept."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Learn from so many completions alone, drawn by chance from `seed`. `null`: from all."""
    learn_prompts: bool = False
    """Learn the tokens of the prompt too, all but its first."""


class DistilConfig(Section):
    """The teacher of `kind: distil`: it says how likely it finds each token that the student samples."""

    short_for = "teacher"

    teacher: str | None = None
    """A run, for its newest adapter on its base; the folder of an adapter in PEFT's layout; a model (folder, hub id,
    `bundled:NAME`); or the address of a vLLM server, http://HOST:PORT/v1. Its tokenizer must be the student's."""
    model: str | None = None
    """Of an adapter's folder, the base that it is for: `null` is the student's. Of a server, what it calls the
    teacher."""
    api_key_env: str | None = None
    """The variable of the environment that holds the server's key."""


class RolloutConfig(Section):
    """What a step samples, and when."""

    prompts_per_step: Annotated[int, Field(ge=1)] = 32
    """Problems per step; completions per step = prompts_per_step * sampling.group_size."""
    max_rounds: Annotated[int, Field(ge=1)] = 1
    """Rounds of sampling in a step. Above 1, groups without spread are replaced by other problems, until all have one
    or the rounds are used up (DAPO's dynamic sampling)."""
    ahead: bool = False
    """Sample the next batches while the current one is learned, in a process of its own: up to max_lag steps
    off-policy. Before a checkpoint nothing is sampled ahead, so that a resumed run is the same run."""
    max_lag: Annotated[int, Field(ge=0, le=MOST_LAG)] = 1
    """Most steps by which the adapter that sampled may be older than the one that learns from it. Above 1, with
    rollout.ahead, several steps are sampled of one adapter, so that neither side waits for the other's slowest step;
    which adapter samples which step is fixed beforehand (docs/overlap.md)."""

    @property
    def steps_of_adapter(self) -> int:
        """How many steps are sampled of one adapter, as `rl.rollout.pace` says."""
        return self.max_lag // 2 + 1 if self.ahead else 1

    @model_validator(mode="after")
    def _ahead_lags(self) -> "RolloutConfig":
        if self.ahead and self.max_lag < 1:
            raise ValueError("rollout.ahead=true samples one step ahead, rollout.max_lag=0 forbids it; set it to 1")
        if not self.ahead and self.max_lag > 1:
            raise ValueError(
                f"rollout.max_lag={self.max_lag} has no effect with rollout.ahead=false, where nothing lags; set the "
                "second to true or leave the first out"
            )
        return self


class OptimConfig(Section):
    """AdamW on the adapter, and how a step is cut to fit the memory."""

    lr: Positive = 2e-5
    """Peak learning rate of AdamW, after the warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)] = 3
    """Steps over which the rate rises linearly from lr / (warmup_steps + 1)."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """The rate after the warm-up: as it is, or falling towards 0, in a line or along half a cosine, over the steps that
    are left (`rl.objective.schedule`). A run whose rate falls cannot be resumed with more steps."""
    beta1: Fraction = 0.9
    """AdamW: decay of the gradient mean."""
    beta2: Fraction = 0.99
    """AdamW: decay of the squared-gradient mean."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW: decoupled decay of the adapter."""
    max_grad_norm: Positive = 1.0
    """Gradients are scaled down to this global norm."""
    microbatch_tokens: Annotated[Annotated[int, Field(ge=1)] | Literal["auto"], LAST_BITS] = "auto"
    """Tokens that one forward pass may hold: of the row if packed, else of the padded rectangle. `auto`: 8192, or as
    many as fit into `memory_share`, and one completion at least. This key and the ones below change memory and speed,
    never the gradient."""
    pack: Annotated[bool, LAST_BITS] = True
    """Compute no padding: the tokens of a microbatch stand in one row (`rl.learner.packing`)."""
    share_prompts: Annotated[bool, LAST_BITS] = True
    """Compute once what samples of a microbatch have in common from the beginning on: a problem's prompt, worked
    examples before all problems, the first words of completions. Needs optim.pack."""
    logits_mib: Annotated[Mebibytes, LAST_BITS] = 256
    """Memory that float32 logits may take, in MiB; beyond it they are computed chunk by chunk, and again backwards."""
    gradient_checkpointing: Annotated[bool, MayChange()] = False
    """Keep the layers' inputs alone for the backward pass and compute each layer again there."""

    @property
    def most_tokens(self) -> int:
        """microbatch_tokens as a number: of `auto`, where no memory has been asked (`rl.memory.sizes`), its most."""
        return MOST_TOKENS if self.microbatch_tokens == "auto" else self.microbatch_tokens


class SyncConfig(Section):
    """The adapter's way into the engine, and the receipt after it."""

    strategy: Literal["auto", "merged", "runtime"] = "auto"
    """How the adapter gets into the engine (`rl.engines.delivery`): merged into weights that are loaded anew, or as it
    is. `auto` takes `runtime` on CUDA where the engine can serve every part of it, `merged` otherwise, and says why."""
    num_canaries: Annotated[int, Field(ge=1)] = 8
    """Fixed sequences on which trainer and engine are compared after every push of the adapter."""
    bound: Positive | None = None
    """Largest |trainer - engine| log-probability in nats that 98 % of canary tokens must keep. `null`: 16 times as
    far as the model is from itself with other roundings, measured at the start (`rl.sync.measured_bound`)."""


class CheckpointConfig(Section):
    """When the run is saved, and what is kept."""

    every: Annotated[int, Field(ge=1), MayChange(where=("rollout.ahead", False))] = 10
    """Steps between checkpoints; the last step is always saved."""
    keep: Annotated[int, Field(ge=1), MayChange()] = 2
    """Checkpoints kept; older ones are deleted after a newer one is safely on disk."""
    best: Annotated[Annotated[str, Field(pattern=r"^eval/[^/]+/.+$")] | None, MayChange()] = None
    """Metric of which the highest is best, as `eval/validation/pass@1`: that step's checkpoint is never deleted, and
    `doubleback eval RUN --checkpoint best` measures it. `null`: none is marked."""
    patience: Annotated[Annotated[int, Field(ge=1)] | None, MayChange()] = None
    """Evaluations in a row without an improvement of checkpoint.best after which the run ends. `null`: it goes on."""

    @model_validator(mode="after")
    def _patience_is_for_a_metric(self) -> "CheckpointConfig":
        if self.patience is not None and self.best is None:
            raise ValueError(
                f"checkpoint.patience={self.patience} waits for an improvement, and checkpoint.best=null names no "
                "metric; set it to eval/validation/pass@1"
            )
        if self.best is not None and self.best.startswith("eval/test/"):
            raise ValueError(
                f"checkpoint.best={self.best}: test problems are never for a choice; take one of eval/validation/"
            )
        return self

    def is_due(self, step: int, steps: int) -> bool:
        """Whether `step` of `steps` is saved."""
        return step % self.every == 0 or step == steps
