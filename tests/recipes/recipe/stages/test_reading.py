"""A recipe of stages as it is read: what each stage comes to, what is refused, and what a resumed road may change."""

import pytest
import yaml

from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.stages.resuming import require_same_road
from doubleback.rewards.types import ConfigError

COMMON = {
    "description": "three stages",
    "model": {"path": "bundled:countdown"},
    "task": {"name": "countdown"},
    "reward": {"components": {"countdown": 1.0, "format": 0.2}},
    "lora": {"rank": 16, "expert_rank": 16},
    "optim": {"lr": 1e-3, "beta2": 0.95},
}
STAGES = {
    "cold-start": {"kind": "sft", "steps": 2},
    "reasoning": {"steps": 3, "optim": {"lr": 1e-4}},
    "imitation": {
        "from": "base",
        "kind": "sft",
        "steps": 4,
        "demonstrations": {"source": {"stage": "reasoning", "per_problem": 2}},
    },
}


TAUGHT_BY_SAMPLES = {"distil": {"teacher": {"stage": "some"}}}


def written(folder, stages=STAGES, **common):
    path = folder / "road.yaml"
    path.write_text(yaml.safe_dump({**COMMON, **common, "stages": stages}, sort_keys=False), encoding="utf-8")
    return str(path)


def changed(stage, **keys):
    return {**STAGES, stage: {**STAGES[stage], **keys}}


def refused(path, overrides=()):
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, overrides)
    return str(caught.value).splitlines()


def test_a_stage_is_the_recipe_that_the_common_keys_and_its_own_make(tmp_path):
    road = load_recipe(written(tmp_path))
    alone = tmp_path / "alone.yaml"
    whole = {**COMMON, "steps": 3, "optim": {"lr": 1e-4, "beta2": 0.95}}
    alone.write_text(yaml.safe_dump(whole), encoding="utf-8")
    assert road.stages[1].recipe == load_recipe(str(alone))
    assert [(stage.folder, stage.start) for stage in road.stages] == [
        ("01-cold-start", "base"),
        ("02-reasoning", "cold-start"),
        ("03-imitation", "base"),
    ]
    (taken,) = road.stages[2].taken.values()
    assert (taken.stage, taken.per_problem, taken.order) == ("reasoning", 2, "random")


def test_an_override_is_for_all_stages_or_for_one(tmp_path):
    given = ["optim.lr=0.5", "stages.imitation.optim.lr=0.25", "stages.imitation.from=cold-start"]
    given += ["stages.cold-start.optim.beta2=0.5"]
    road = load_recipe(written(tmp_path), given)
    assert [stage.recipe.optim.lr for stage in road.stages] == [0.5, 0.5, 0.25]
    assert [stage.recipe.optim.beta2 for stage in road.stages] == [0.5, 0.95, 0.95]
    assert road.stages[2].start == "cold-start"
    values = {"optim.lr": 0.5, "stages.imitation.optim.lr": 0.25, "stages.imitation.from": "cold-start"}
    values |= {"stages.cold-start.optim.beta2": 0.5}
    assert load_recipe(written(tmp_path), values).as_data() == road.as_data()


def test_a_stage_that_samples_has_no_steps_and_hands_on_what_it_started_from(tmp_path):
    stages = {**STAGES, "harvest": {"kind": "sample"}, "again": {"kind": "sft", "steps": 1}}
    source = {"demonstrations": {"source": {"stage": "harvest"}}}
    stages["last"] = {"from": "harvest", "kind": "sft", "steps": 1, **source}
    road = load_recipe(written(tmp_path, stages), ["steps=7"])
    assert [stage.recipe.steps for stage in road.stages] == [7, 7, 7, 0, 7, 7]
    assert [road.before(stage) for stage in road.stages[3:]] == [road.stages[2]] * 3
    (line,) = refused(written(tmp_path, stages), ["stages.last.demonstrations.source.per_problem=1"])
    assert line.startswith("stage last: demonstrations.source: of stage harvest its own section `harvest` says what is")


def test_what_a_road_writes_down_is_the_same_road(tmp_path):
    road = load_recipe(written(tmp_path), ["stages.reasoning.from=runs/earlier"])
    assert road.stages[1].recipe.lora.init == "runs/earlier"
    again = tmp_path / "stages.yaml"
    again.write_text(yaml.safe_dump(road.as_data(), sort_keys=False), encoding="utf-8")
    assert load_recipe(str(again)) == road


def test_the_findings_of_all_stages_come_at_once(tmp_path):
    stages = {
        "first": {"kind": "sft", "steps": 1, "from": "later", "optim": {"lr": -2}},
        "later": {"steps": 2, "optim": {"lr": -1}},
        "last": {"steps": 1, "demonstrations": {"source": {"stage": "none", "oder": 1}}},
    }
    assert refused(written(tmp_path, stages)) == [
        "stage first: from=later: no stage is before it, or write base, or a folder with a / in it",
        "stage first: optim.lr=-2: input should be greater than 0",
        "stage later: optim.lr=-1: input should be greater than 0",
        "stage last: demonstrations.source.oder: there is no such key; did you mean order?",
    ]


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([], "stages=[]: give a mapping of each stage's name to its keys, in order"),
        ({"base": {}}, "stages: 'base' is no name of a stage"),
        ({"a/b": {}}, "stages: 'a/b' is no name of a stage"),
        ({"one": 3}, "stages.one=3: give the keys in which it differs"),
        (
            changed("reasoning", **{"from": "cold-strat"}),
            "stage reasoning: from=cold-strat: there is no such stage before",
        ),
        (changed("reasoning", **{"from": 3}), "stage reasoning: from=3: name an earlier stage, a folder, or base"),
        (
            changed("reasoning", lora={"init": "runs/a"}),
            "stage reasoning: lora.init=runs/a: of a stage `from` says where",
        ),
        (
            changed("reasoning", lora={"rank": 8}),
            "stage reasoning: lora.rank=8, and stage cold-start has 16: it starts",
        ),
        (changed("reasoning", seed=1), "stage reasoning: seed=1, and stage cold-start has 0: all stages are measured"),
        (changed("reasoning", trainer="trl"), "stage reasoning: trainer=trl cannot go on where it stopped"),
        (
            changed("imitation", demonstrations={"source": {"stage": "imitation"}}),
            "stage imitation: demonstrations.source.stage=imitation: there is no such stage before it",
        ),
        (
            changed("imitation", demonstrations={"source": {"stage": "cold-start"}}),
            "stage imitation: demonstrations.source.stage=cold-start is of kind=sft; name a stage of one of the",
        ),
        (
            {**STAGES, "some": {"kind": "sample"}, "last": {"kind": "distil", "steps": 1, **TAUGHT_BY_SAMPLES}},
            "stage last: distil.teacher.stage=some is of kind=sample; name a stage of one of the kinds rl, sft, distil",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_its_stage(tmp_path, stages, said):
    lines = refused(written(tmp_path, stages))
    assert len(lines) == 1
    assert lines[0].startswith(said)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("stages.reasonin.steps=3", "there is no stage reasonin; did you mean reasoning?"),
        ("stages.reasoning=3", "write it as stages.NAME.key.path=value"),
        ("stages.reasoning.optim.lrr=3", "stage reasoning: optim.lrr: there is no such key; did you mean lr?"),
    ],
)
def test_an_override_that_names_nothing_is_refused(tmp_path, override, said):
    (line,) = refused(written(tmp_path), [override])
    assert said in line


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("stages.reasoning.optim.lr=0.1", "stage reasoning: --resume: optim.lr is 0.1, the run has 0.0001"),
        ("stages.imitation.from=reasoning", "stage imitation: --resume: from is 'reasoning', the run has 'base'"),
        ("stages.imitation.demonstrations.source.per_problem=3", "stage imitation: --resume: demonstrations.source is"),
        ("stages.cold-start.steps=9", "stage cold-start: --resume: steps is 9, the run has 2, and is finished"),
        ("stages.reasoning.steps=2", "stage reasoning: --resume: steps is 2, the run has 3; put it back"),
    ],
)
def test_a_road_that_goes_on_is_the_one_that_began(tmp_path, override, said):
    before = load_recipe(written(tmp_path)).as_data()
    require_same_road(before, load_recipe(written(tmp_path)), ["cold-start"])
    with pytest.raises(ConfigError) as caught:
        require_same_road(before, load_recipe(written(tmp_path), [override]), ["cold-start"])
    (line,) = str(caught.value).splitlines()
    assert line.startswith(said)


def test_what_a_resumed_run_may_change_an_unfinished_stage_may(tmp_path):
    before = load_recipe(written(tmp_path)).as_data()
    given = ["stages.reasoning.steps=9", "eval.every=7"]
    require_same_road(before, load_recipe(written(tmp_path), given), ["cold-start"])


def test_other_stages_are_another_road(tmp_path):
    before = load_recipe(written(tmp_path)).as_data()
    fewer = {name: STAGES[name] for name in ("cold-start", "reasoning")}
    with pytest.raises(
        ConfigError, match="the stages are cold-start, reasoning, the run has cold-start, reasoning, im"
    ):
        require_same_road(before, load_recipe(written(tmp_path, fewer)), [])
