"""Sizes on `auto` become numbers by the memory that is free, are stated, and stay with a run."""

import json

import pytest

from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.models.configuration import configuration
from doubleback.recipes.recipe import assembly
from doubleback.recipes.recipe.assembly import kept_sizes, recipe_memory, sized
from doubleback.recipes.recipe.loading import load_recipe, shipped
from doubleback.recipes.recipe.schema import Recipe
from doubleback.rl.memory import GIB, Sizes


def taken(recipe, free, monkeypatch, kept=None):
    monkeypatch.setattr(assembly, "free_memory", lambda: free)
    return sized(recipe, configuration(bundled_path(recipe.model.path)), recipe.model.dtype, kept)


@pytest.mark.parametrize("name", ["countdown", "countdown-random-reward", "countdown-no-backtracking"])
def test_countdown_has_its_sizes_where_two_gib_are_free(name, monkeypatch):
    recipe = taken(load_recipe(name), 2 * GIB, monkeypatch)
    assert (recipe.optim.microbatch_tokens, recipe.engine.kv_cache_mib) == (8192, 256)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in shipped() if isinstance(load_recipe(name), Recipe)])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_sizes_fit_into_the_share(name, share, monkeypatch):
    keys = {"optim.microbatch_tokens": "auto", "engine.kv_cache_mib": "auto", "memory_share": share}
    recipe = load_recipe(name, keys)
    config, dtype = configuration(bundled_path(recipe.model.path)), recipe.model.dtype
    free = 4 * recipe_memory(recipe, config, dtype).weights
    filled = taken(recipe, free, monkeypatch)
    memory = recipe_memory(filled, config, dtype)
    fixed = 2 * memory.weights + memory.adapter + memory.gradients
    least = recipe.model.max_length
    assert memory.update - fixed <= share * (free - fixed) or filled.optim.microbatch_tokens == least
    assert least <= filled.optim.microbatch_tokens <= 8192


def test_what_a_recipe_gives_and_what_a_run_kept_is_not_computed(monkeypatch):
    given = load_recipe("countdown", ["optim.microbatch_tokens=77"])
    recipe = taken(given, 8 * GIB, monkeypatch, kept=Sizes(5, 99))
    assert (recipe.optim.microbatch_tokens, recipe.engine.kv_cache_mib) == (77, 99)
    assert taken(given, 8 * GIB, monkeypatch).engine.kv_cache_mib == 256


def test_a_run_says_what_it_took(tmp_path):
    (tmp_path / "environment.json").write_text(json.dumps({"sizes": {"microbatch_tokens": 5, "kv_cache_mib": 99}}))
    assert kept_sizes(tmp_path) == Sizes(5, 99)
    (tmp_path / "environment.json").write_text("{}")
    assert kept_sizes(tmp_path) is None
