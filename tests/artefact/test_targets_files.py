"""Target files: what ships, what is refused and how, and what the host is detected to be."""

import dataclasses
from pathlib import Path

import pytest

from edgedeblur.artefact import cpu, x86_cores
from edgedeblur.artefact.isa import ISAS
from edgedeblur.artefact.target import list_targets, load_target, parse_target, target_table
from edgedeblur.errors import UserError

FALLBACK = '[[fallbacks]]\nisa = "avx2"\ncpu = "x86-64-v3"\nfeatures = ["+avx2"]\n'
GOOD = Path(__file__).parents[2] / "targets" / "x86-64-v3.toml"


def write(folder: Path, *replacements: tuple[str, str]) -> Path:
    """A user's own target file: the shipped x86-64-v3 with some text replaced."""
    text = GOOD.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def cpuinfo(folder: Path, *flags: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(
        f"processor\t: 0\nmodel name\t: A CPU: of some kind\nflags\t\t: fpu {' '.join(flags)}\ncpu MHz\t: 2500.0\n"
    )
    return path


def test_the_shipped_targets_are_these_and_all_but_the_hosts_load_anywhere():
    names = [
        "adreno",
        "android",
        "android-arm64",
        "cuda",
        "host",
        "linux-arm64",
        "opencl",
        "snapdragon-865",
        "x86-64-amx",
        "x86-64-v3",
        "x86-64-v3-vnni",
        "x86-64-v4-vnni",
    ]
    assert list_targets() == names
    for name in set(list_targets()) - {"host", "opencl", "cuda"}:
        target = load_target(name)
        assert target.name == name
        assert target.threads <= sum(cluster.count for cluster in target.clusters)


def test_android_is_the_snapdragon_865():
    target = load_target("android")
    assert (target.cpu, target.isa, target.threads) == ("cortex-a77", "sdot", 4)
    assert "+dotprod" in target.features
    assert [(cluster.count, cluster.ghz) for cluster in target.clusters] == [(1, 2.84), (3, 2.42), (4, 1.8)]
    assert (target.latency_budget_ms, target.memory_budget_mb) == (35.0, 150.0)
    assert target.runner == ("qemu-aarch64", "-cpu", "cortex-a76")


def test_snapdragon_865_is_another_name_of_android():
    named = load_target("snapdragon-865")
    assert dataclasses.replace(named, name="android", description=load_target("android").description) == load_target(
        "android"
    )


def test_a_users_own_name_for_a_shipped_target_is_read_as_strictly(tmp_path):
    path = tmp_path / "ours.toml"
    path.write_text('description = "the lab\'s phones"\nsame_as = "android-arm64"\n')
    assert (load_target(path).name, load_target(path).isa) == ("ours", "i8mm")
    path.write_text(f'description = "itself"\nsame_as = "{path}"\n')
    with pytest.raises(UserError, match=r"ours\.toml: same_as names '.*; there are adreno, android"):
        load_target(path)
    path.write_text('description = "first of two"\ndetect = ["x"]\n')
    with pytest.raises(UserError, match=r"ours\.toml: detect names 'x'; there are adreno, android"):
        load_target(path)
    path.write_text('description = "two"\nsame_as = "android"\nthreads = 2\n')
    with pytest.raises(UserError, match="unknown key threads; allowed are description, same_as"):
        load_target(path)


@pytest.mark.parametrize("name", ["android-arm64", "linux-arm64"])
def test_an_arm64_artefact_holds_kernels_for_every_processor_the_best_first(name):
    sets = load_target(name).kernel_sets
    assert [one.isa for one in sets] == ["i8mm", "sdot", "neon"]
    assert not any(one.fallbacks for one in sets)
    assert [one.runner[-1] for one in sets] == ["max", "cortex-a76", "cortex-a53"]
    assert "+dotprod" not in sets[2].features and "+i8mm" not in sets[1].features


@pytest.mark.parametrize("name", sorted(set(list_targets()) - {"cuda", "host", "opencl", "snapdragon-865"}))
def test_a_target_survives_as_a_table(name):
    target = load_target(name)
    assert parse_target(name, target_table(target), Path("manifest.json")) == target


def test_a_users_own_file_is_loaded_by_path_and_named_after_it(tmp_path):
    path = write(tmp_path, ("threads = 4", "threads = 2"), ("latency_ms = 35.0", "latency_ms = 20"))
    target = load_target(path)
    assert (target.name, target.threads, target.latency_budget_ms) == ("mine", 2, 20.0)
    assert load_target(str(path)) == target


def test_an_unknown_name_lists_the_targets():
    with pytest.raises(UserError, match="no target 'iphone'; there are adreno, android, android-arm64, cuda") as caught:
        load_target("iphone")
    assert caught.value.exit_code == 2


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot read .*nothing.toml: No such file"):
        load_target(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("threads = 4", "threads = 4\nspeed = 3", "unknown key speed; allowed are description, triple, cpu"),
        ("latency_ms = 35.0", "latency_s = 35.0", "unknown key budget.latency_s; allowed are latency_ms, memory_mb"),
        ("count = 4\n", "count = 4\nsize = 1\n", r"unknown key clusters\[0\].size; allowed are name, count, ghz"),
        ("threads = 4\n", "", "key threads is missing"),
        ("count = 4\n", "", r"key clusters\[0\].count is missing"),
        ("threads = 4", 'threads = "4"', "threads = '4'; an integer is needed"),
        ("threads = 4", "threads = true", "threads = True; an integer is needed"),
        ("threads = 4", "threads = 0", "threads = 0; allowed are 1 to 64"),
        ("threads = 4", "threads = 65", "threads = 65; allowed are 1 to 64"),
        ("threads = 4", "threads = 4\ndots_per_cycle = 0", "dots_per_cycle = 0.0; allowed are numbers above 0"),
        ('["+avx2", "+fma"]', '["+avx2", 3]', r"features\[1\] = 3; a string is needed"),
        ('["+avx2", "+fma"]', '["avx2"]', "feature 'avx2'; LLVM's features begin with"),
        ('isa = "avx2"', 'isa = "mmx"', "isa = 'mmx'; there are kernels for avx2, vnni, avxvnni, amx, sdot, i8mm"),
        (
            'isa = "avx2"',
            'isa = "sdot"',
            "triple = 'x86_64-linux-gnu'; for isa 'sdot' there are aarch64-linux-gnu, aarch64-linux-musl",
        ),
        ('"x86_64-linux-musl"', '"aarch64-linux-musl"', "zig_target = 'aarch64-linux-musl'"),
        (
            '"x86_64-linux-gnu"',
            '"x86_64-linux-gnus"',
            "triple = 'x86_64-linux-gnus'; for isa 'avx2' there are",
        ),
        ('"x86_64-linux-gnu"', '"x86_64-linux-"', "triple = 'x86_64-linux-'"),
        ('"x86_64-linux-musl"', '"x86_64-linux-muscle"', "zig_target = 'x86_64-linux-muscle'"),
        ("count = 4", "count = 0", "cluster 'x86-64-v3' has 0 cores"),
        ("latency_ms = 35.0", "latency_ms = -1", "both must be above 0"),
        ("latency_ms = 35.0", "latency_ms = nan", r"budget.latency_ms = nan; a finite number below 1e\+30 is needed"),
        ("threads = 4", "threads = ", "not TOML"),
        (
            "threads = 4",
            "threads = 4\nandroid_api = 24",
            "android_api = 24; triples for Android need it, others have none",
        ),
        (
            "[budget]",
            '[[fallbacks]]\nisa = "avx2"\n\n[budget]',
            r"key fallbacks\[0\].cpu is missing; needed are isa, cpu",
        ),
        ("[budget]", FALLBACK + "speed = 1\n\n[budget]", r"unknown key fallbacks\[0\].speed; allowed are isa, cpu"),
        ("[budget]", FALLBACK + "\n[budget]", "isa and fallbacks name avx2, avx2; each may be listed once"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_with_the_value_and_what_is_allowed(tmp_path, old, new, message):
    path = write(tmp_path, (old, new))
    with pytest.raises(UserError, match=message) as caught:
        load_target(path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("flags", "isa"),
    [
        (("avx2", "fma"), "avx2"),
        (("avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"), "avx2"),
        (("avx2", "fma", "avx_vnni"), "avxvnni"),
        (("avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"), "vnni"),
        (("avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"), "vnni"),
    ],
)
def test_the_host_takes_the_best_kernels_that_its_processor_runs(monkeypatch, tmp_path, flags, isa):
    path = cpuinfo(tmp_path, *flags)
    monkeypatch.setattr(cpu, "architecture", lambda: "x86_64")
    monkeypatch.setattr(cpu, "cpu_flags", lambda cpuinfo=path, real=cpu.cpu_flags: real(path))
    target = load_target("host")
    assert (target.name, target.isa, target.runner) == ("host", isa, ())
    assert target.threads == len(cpu.physical_cores())


@pytest.mark.parametrize(
    ("vendor", "family", "model", "rate"),
    [
        ("GenuineIntel", 6, 143, 2.0),  # Sapphire Rapids
        ("GenuineIntel", 6, 126, 1.0),  # Ice Lake in a laptop
        ("AuthenticAMD", 25, 17, 1.0),  # Genoa
        ("AuthenticAMD", 25, 1, None),  # Zen 3, which has no such instruction
    ],
)
def test_the_hosts_rate_of_dot_products_is_that_of_its_processors_model(tmp_path, vendor, family, model, rate):
    path = tmp_path / "cpuinfo"
    one = f"vendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\nmodel name\t: some\n"
    path.write_text(f"{one}\n{one}")
    assert x86_cores.dots_per_cycle_of_model(*cpu.vendor_family_model(path)) == rate


def test_a_machine_with_amx_keeps_other_kernels_beside_it_as_the_system_may_refuse_amx(monkeypatch, tmp_path):
    monkeypatch.setattr(cpu, "architecture", lambda: "x86_64")
    monkeypatch.setattr(cpu, "cpu_flags", lambda cpuinfo=None: frozenset({*ISAS["avx2"].flags, *ISAS["amx"].flags}))
    own = tmp_path / "own.toml"
    own.write_text('description = "the best here"\ndetect = ["x86-64-amx", "x86-64-v3"]\n')
    assert [(one.name, one.isa) for one in load_target(own).kernel_sets] == [("own", "amx"), ("own", "vnni")]
    assert load_target("host").isa == "vnni", "until AMX has been measured on a processor"


def test_a_host_without_avx2_is_told_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(cpu, "cpu_flags", lambda cpuinfo=None: frozenset({"sse2"}))
    with pytest.raises(UserError, match="no kernels for this processor .*x86-64-v3: avx2 fma"):
        load_target("host")


@pytest.mark.parametrize(
    ("flags", "isa"),
    [({"asimd"}, "neon"), ({"asimd", "asimddp"}, "sdot"), ({"asimd", "asimddp", "i8mm"}, "i8mm")],
)
def test_an_arm_host_takes_the_best_kernels_that_its_processor_runs(monkeypatch, flags, isa):
    monkeypatch.setattr(cpu, "architecture", lambda: "aarch64")
    monkeypatch.setattr(cpu, "cpu_flags", lambda cpuinfo=None: frozenset(flags))
    target = load_target("host")
    assert (target.isa, target.fallbacks) == (isa, ())


def test_cpuinfo_is_read(tmp_path):
    path = cpuinfo(tmp_path, "avx2")
    assert cpu.cpu_flags(path) == {"fpu", "avx2"}
    assert cpu.missing_flags("avx2", path) == ("fma",)
    assert cpu.cpu_model(path) == "A CPU: of some kind"
    assert cpu.clock_ghz(10_000, path) == 2.5
    assert cpu.cpu_flags(tmp_path / "nothing") == frozenset()


def test_an_android_target_needs_an_api_level_that_arm64_has(tmp_path):
    text = (GOOD.parent / "android.toml").read_text()
    for replacement, message in (
        ("", "android_api = None"),
        ("android_api = 19", "android_api = 19; allowed are 21 to"),
    ):
        path = tmp_path / "phone.toml"
        path.write_text(text.replace("android_api = 24", replacement))
        with pytest.raises(UserError, match=message):
            load_target(path)


def test_a_gpu_is_added_to_any_target_and_an_unknown_language_is_refused(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('description = "a phone"\nsame_as = "android"\ngpu = "opencl"\n')
    target = load_target(mine)
    assert (target.gpu, target.cpu) == ("opencl", "cortex-a77")
    assert parse_target("mine", target_table(target), mine) == target
    mine.write_text('description = "a phone"\nsame_as = "android"\ngpu = "glide"\n')
    with pytest.raises(UserError, match="gpu = 'glide'; there are opencl, cuda"):
        load_target(mine)
