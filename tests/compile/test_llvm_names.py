"""A target's cpu and features are those that LLVM knows, or the compiler stops before it has made anything."""

import dataclasses

import pytest
from networks import random_network, tiny_spec

from edgedeblur.artefact.target import list_targets, load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.llvm.names import check_llvm_names
from edgedeblur.errors import UserError

X86, ARM = load_target("x86-64-v3"), load_target("android")


def test_every_set_of_kernels_of_the_shipped_targets_names_what_llvm_knows():
    for name in set(list_targets()) - {"host"}:
        for one in load_target(name).kernel_sets:
            check_llvm_names(one)


def test_an_unknown_cpu_is_refused_with_the_similar_names_first_and_without_llvms_own_warning(tmp_path, capfd):
    target = dataclasses.replace(X86, cpu="skylake-x99")
    with pytest.raises(
        UserError, match="no cpu 'skylake-x99' for x86_64-linux-gnu; near it are skylake.*znver5"
    ) as caught:
        compile_network(random_network(tiny_spec()), target, 16, 16, tmp_path / "a")
    assert caught.value.exit_code == 2 and not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("target", "feature", "message"),
    [
        (ARM, "+dotprodd", "no feature 'dotprodd' for aarch64-linux-android; near it are dotprod"),
        (X86, "-avx3", "no feature 'avx3' for x86_64-linux-gnu; near it are avx"),
    ],
)
def test_an_unknown_feature_is_refused_with_the_similar_names_first(capfd, target, feature, message):
    with pytest.raises(UserError, match=message):
        check_llvm_names(dataclasses.replace(target, features=(*target.features, feature)))
    assert capfd.readouterr() == ("", "")


def test_a_feature_that_no_cpu_has_by_itself_is_taken():
    check_llvm_names(dataclasses.replace(ARM, features=(*ARM.features, "+reserve-x18")))


@pytest.mark.parametrize(
    ("target", "changes", "message"),
    [
        (X86, {"cpu": "x86-64", "features": ()}, "isa 'avx2' needs .avx2 .fma, which x86-64 with features .. does not"),
        (ARM, {"cpu": "cortex-a53", "features": ("+neon",)}, "isa 'sdot' needs .dotprod, which cortex-a53"),
        (ARM, {"features": ("-dotprod",)}, "isa 'sdot' needs .dotprod"),
    ],
)
def test_instructions_that_the_kernels_need_and_the_target_leaves_out_are_named(target, changes, message):
    with pytest.raises(UserError, match=message):
        check_llvm_names(dataclasses.replace(target, **changes))
