"""Which data a folder is taken for, and that what is drawn from it is reproducible."""

import dataclasses

import numpy as np
import pytest
import torch

from edgedeblur.data.batches import Stock, augment, batches
from edgedeblur.data.blur.recipe import BlurRecipe
from edgedeblur.data.default_set import default_photos, default_set
from edgedeblur.data.held_back import fixed_pairs, hold_back
from edgedeblur.data.images import write_image
from edgedeblur.data.pairs import find_pairs, has_pairs
from edgedeblur.data.sources import (
    Frames,
    ImageCache,
    Mixture,
    Pairs,
    Photos,
    crop_at_random,
    draw_reduction,
    open_source,
    split_share,
)
from edgedeblur.data.training_data import open_data, open_training_data
from edgedeblur.errors import UserError
from edgedeblur.metrics import psnr

RECIPE = BlurRecipe()
SHARES = {"photos": 0.6, "frames": 0.4, "pairs": 1.0}


def picture(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def pairs_folder(tmp_path):
    for scene in ("train/one", "train/two"):
        for number in range(3):
            for side in ("blur", "sharp"):
                write_image(tmp_path / "gopro" / scene / side / f"{number:06}.png", picture(number + (side == "blur")))
    return tmp_path / "gopro"


@pytest.fixture
def photo_folder(tmp_path):
    for number in range(20):
        write_image(tmp_path / "photos" / f"{number}.png", picture(number))
    return tmp_path / "photos"


@pytest.fixture
def frame_folder(tmp_path):
    for number in range(30):
        write_image(tmp_path / "video" / f"{number:03}.png", np.full((32, 32, 3), number * 8, np.uint8))
    return tmp_path / "video"


def test_gopro_pairs_are_found_at_any_depth_with_their_groups(pairs_folder):
    pairs = find_pairs(pairs_folder)
    assert [(pair.group, pair.name) for pair in pairs][:4] == [
        ("train/one", "000000.png"),
        ("train/one", "000001.png"),
        ("train/one", "000002.png"),
        ("train/two", "000000.png"),
    ]
    blur, sharp = pairs[1].read()
    assert np.array_equal(blur, picture(2)) and np.array_equal(sharp, picture(1))
    assert find_pairs(pairs_folder / "train" / "one")[0].group == "one"


def test_scenes_may_lie_inside_blur_and_sharp(tmp_path):
    for scene in ("one", "two"):
        for side in ("blur", "sharp"):
            write_image(tmp_path / "test" / side / scene / "1.png", picture(ord(scene[0]) + (side == "blur")))
    pairs = find_pairs(tmp_path)
    assert [(pair.group, pair.name) for pair in pairs] == [("test/one", "1.png"), ("test/two", "1.png")]
    blur, sharp = pairs[1].read()
    assert np.array_equal(blur, picture(ord("t") + 1)) and np.array_equal(sharp, picture(ord("t")))
    assert [pair.group for pair in find_pairs(tmp_path / "test")] == ["one", "two"]


def test_a_pair_without_its_sharp_picture_is_named(pairs_folder):
    (pairs_folder / "train/two/sharp/000001.png").unlink()
    with pytest.raises(UserError, match=r"two/blur/000001\.png has no sharp picture"):
        find_pairs(pairs_folder)


def test_a_pair_of_two_sizes_is_refused(pairs_folder):
    write_image(pairs_folder / "train/one/sharp/000000.png", picture(1, 40, 50))
    with pytest.raises(UserError, match="48x40 and 50x40"):
        find_pairs(pairs_folder)[0].read()


def test_the_kind_of_a_folder_is_told_apart(pairs_folder, photo_folder, frame_folder):
    assert has_pairs(pairs_folder) and not has_pairs(photo_folder)
    assert isinstance(open_source(pairs_folder, RECIPE), Pairs)
    assert isinstance(open_source(photo_folder, RECIPE), Photos)
    assert isinstance(open_source(frame_folder, RECIPE), Photos)  # frames only when told so
    assert isinstance(open_source(f"frames:{frame_folder}", RECIPE), Frames)
    assert isinstance(open_source(f"photos:{pairs_folder}", RECIPE), Photos)


@pytest.mark.parametrize("kind", ["pairs", "photos", "frames", "auto"])
def test_folders_without_what_they_should_hold_are_messages(tmp_path, kind):
    with pytest.raises(UserError, match="no pairs in|no images in"):
        open_source(f"{kind}:{tmp_path}", RECIPE)
    with pytest.raises(UserError, match="no folder"):
        open_source(f"{kind}:{tmp_path / 'none'}", RECIPE)


def test_too_few_frames_are_refused(tmp_path):
    for number in range(6):
        write_image(tmp_path / f"{number}.png", picture(number))
    with pytest.raises(UserError, match="has 6 frames.*at least 7"):
        open_source(f"frames:{tmp_path}", RECIPE)


def test_the_centre_frame_is_the_sharp_one(frame_folder):
    """Frames are flat and rise by 8, so in stored values their mean is the centre frame, or half a frame beside it."""
    source = open_source(f"frames:{frame_folder}", BlurRecipe(gammas=(1.0,)))
    for seed in range(8):
        blur, sharp = source.draw(np.random.default_rng(seed), 16)
        assert abs(int(blur[0, 0, 0]) - int(sharp[0, 0, 0])) in (0, 4)


def test_photographs_smaller_than_a_crop_are_mirrored_outwards():
    small = picture(0, 10, 70)
    (crop,) = crop_at_random(np.random.default_rng(0), (16, 16), small)
    assert crop.shape == (16, 16, 3) and np.array_equal(crop[10:], crop[9:3:-1])


def test_the_cache_keeps_to_its_limit(photo_folder):
    paths = sorted(photo_folder.iterdir())
    cache = ImageCache(limit=2 * 40 * 48 * 3)
    images = [cache[path] for path in paths]
    assert all(np.array_equal(cache[path], image) for path, image in zip(paths, images, strict=True))
    assert [cache[path] is image for path, image in zip(paths, images, strict=True)].count(True) == 2


def test_a_mixture_draws_by_its_weights():
    dark, bright = (Photos((np.full((80, 80, 3), value, np.uint8),), BlurRecipe(max_length=4)) for value in (10, 240))
    mixture = Mixture((dark, bright), (1.0, 3.0))
    rng = np.random.default_rng(0)
    share = np.mean([mixture.draw(rng, 32)[1].mean() > 128 for _ in range(200)])
    assert share == pytest.approx(0.75, abs=0.1)


def test_batches_are_a_function_of_seed_and_step(photo_folder):
    source = open_source(photo_folder, RECIPE)
    stream = batches(Stock(source, 5, 2, 32), 0)
    first_three = [next(stream) for _ in range(3)]
    stream.close()
    resumed = batches(Stock(source, 5, 2, 32), 2)
    for expected, got in zip(first_three[2], next(resumed), strict=True):
        assert torch.equal(expected, got)
    resumed.close()
    assert not torch.equal(first_three[0][0], Stock(source, 6, 2, 32).batch(0)[0])


def test_pairs_are_used_again_cut_anew_and_a_resumed_run_sees_the_same(photo_folder, monkeypatch):
    source, drawn = open_source(photo_folder, RECIPE), []
    draw = type(source).draw
    monkeypatch.setattr(type(source), "draw", lambda self, rng, size: drawn.append(size) or draw(self, rng, size))
    stream = batches(Stock(source, 5, 4, 32, reuse=4), 0)
    got = [next(stream) for _ in range(12)]
    stream.close()
    assert 12 <= len(drawn) <= 16 + 4 and set(drawn) == {48}  # one new pair a batch, some batches ahead
    crops = torch.cat([blur for blur, _ in got])
    assert len({crop.numpy().tobytes() for crop in crops}) == len(crops)
    resumed = Stock(source, 5, 4, 32, reuse=4).batch(11)
    assert all(torch.equal(expected, again) for expected, again in zip(got[11], resumed, strict=True))


def test_of_two_processes_each_draws_its_part_of_the_batch(photo_folder):
    source = open_source(photo_folder, RECIPE)
    whole = Stock(source, 5, 4, 32).batch(3)[0]
    parts = [Stock(source, 5, 2, 32, part=part).batch(3)[0] for part in (0, 1)]
    assert torch.equal(torch.cat(parts), whole)


def test_batches_are_float_rgb_in_0_to_1():
    red = np.zeros((80, 80, 3), np.uint8)
    red[..., 0] = 200
    blur, sharp = Stock(Photos((red,), BlurRecipe(noise_share=0, jpeg_share=0)), 0, 2, 32).batch(0)
    assert blur.shape == sharp.shape == (2, 3, 32, 32) and blur.dtype == torch.float32
    assert sharp[:, 0].min() > 0.5 and sharp[:, 1:].max() == 0 and sharp.max() <= 1


def test_augmentation_turns_and_brightens_both_pictures_alike():
    image = picture(3, 24, 24)
    seen = set()
    for seed in range(60):
        blur, sharp = augment(np.random.default_rng(seed), image, image)
        assert np.array_equal(blur, sharp)
        plain, _ = augment(np.random.default_rng(seed), image, image, brightness=0)
        assert sorted(plain.ravel()) == sorted(image.ravel())
        seen.add(plain.tobytes())
    assert len(seen) == 8  # four turns, each also mirrored


def test_held_back_pictures_are_disjoint_and_the_same_for_a_seed(photo_folder):
    source = open_source(photo_folder, RECIPE)
    kept, held = hold_back(source, seed=1)
    assert len(held.images) == 1 and len(kept.images) == 19 and not set(kept.images) & set(held.images)
    assert hold_back(source, seed=1)[1].images == held.images
    assert len({hold_back(source, seed=s)[1].images for s in range(8)}) > 1


def test_pairs_are_held_back_by_whole_scenes(pairs_folder):
    kept, held = hold_back(open_source(pairs_folder, RECIPE), seed=0)
    assert len({pair.group for pair in held.pairs}) == 1 and len(held.pairs) == len(kept.pairs) == 3
    assert not {pair.group for pair in kept.pairs} & {pair.group for pair in held.pairs}


def test_frames_are_held_back_at_the_end_of_the_sequence(frame_folder):
    kept, held = hold_back(open_source(f"frames:{frame_folder}", RECIPE), seed=0)
    assert kept.sequences[0][-1] < held.sequences[0][0] and len(held.sequences[0]) == 13


def test_fixed_pairs_are_fixed(photo_folder):
    source = open_source(photo_folder, RECIPE)
    first, again = fixed_pairs(source, 3), fixed_pairs(source, 3)
    assert all(np.array_equal(a.blur, b.blur) for a, b in zip(first, again, strict=True))


def test_default_photographs_are_in_the_wheel_and_held_back_apart():
    photos = default_set()
    assert not set(photos.training) & set(photos.validation)
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image in default_photos())
    assert len(default_photos(held_back=True)) == len(photos.validation)


def test_training_data_without_folders_is_the_default_set():
    data = open_training_data((), (), RECIPE, SHARES, seed=0)
    assert "default" in data.described[0] and len(data.validation) == 12


def test_what_is_held_back_of_the_default_set_is_blurred_as_a_person_sees_it():
    gentle = dataclasses.replace(RECIPE, max_length=14.0)
    wider, strong = (
        np.mean([psnr(pair.blur, pair.sharp) for pair in pairs])
        for pairs in (
            fixed_pairs(Photos(default_set().validation, gentle), 0),
            open_training_data((), (), gentle, SHARES, seed=0).validation,
        )
    )
    assert strong < wider - 2


def test_training_data_names_folders_without_their_paths(photo_folder, frame_folder, pairs_folder):
    data = open_training_data(
        (str(photo_folder), f"frames:{frame_folder}"), (str(pairs_folder),), RECIPE, SHARES, seed=0
    )
    assert data.described == ["60 % from 20 photos of photos", "40 % from 30 frames of video"]
    assert [pair.group for pair in data.validation] == ["train/one"] * 3 + ["train/two"] * 3
    assert data.source.weights == (0.6, 0.4)


def test_a_folder_has_the_share_that_is_given_with_it_and_the_others_share_the_rest(
    photo_folder, frame_folder, pairs_folder
):
    given = (str(photo_folder), f"frames:{frame_folder}", f"pairs:{pairs_folder}@0.25")
    source, described = open_data(given, RECIPE, SHARES)
    assert source.weights == pytest.approx((0.45, 0.3, 0.25))
    assert described[2] == "25 % from 6 pairs of gopro"
    drawn = [source.draw(np.random.default_rng(seed), 16) for seed in range(400)]
    flat = sum(np.ptp(sharp) == 0 for _, sharp in drawn)  # of the frames, which are flat
    assert flat / 400 == pytest.approx(0.3, abs=0.07)
    twice = (f"photos:{photo_folder}@0.5", f"{pairs_folder}@.5")
    assert open_data(twice, RECIPE, SHARES)[0].weights == (0.5, 0.5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (("PHOTOS@0.5", "PAIRS@0.7"), r"add up to 1\.2; they must add up to 1"),
        (("PHOTOS@0.5", "PAIRS@0.3"), r"add up to 0\.8; they must add up to 1"),
        (("PHOTOS@0.999999999999", "PAIRS"), "less than 1, since others share the rest"),
        (("PHOTOS@0",), "above 0 and below 1"),
        (("PHOTOS@7",), "above 0 and below 1"),
        (("PHOTOS@x",), "no folder .*@x"),
    ],
)
def test_shares_that_do_not_add_up_are_refused(photo_folder, pairs_folder, data, message):
    named = [text.replace("PHOTOS", str(photo_folder)).replace("PAIRS", str(pairs_folder)) for text in data]
    with pytest.raises(UserError, match=message):
        open_data(named, RECIPE, SHARES)


def test_a_folder_whose_own_name_ends_like_a_share_is_that_folder(photo_folder):
    renamed = photo_folder.rename(photo_folder.with_name("photos@2"))
    assert split_share(f"photos:{renamed}") == (f"photos:{renamed}", None)
    assert split_share(f"photos:{renamed}@0.5") == (f"photos:{renamed}", 0.5)


def test_ready_pairs_are_reduced_by_the_mean_of_their_pixels(tmp_path):
    """A picture that just fits has one place for a crop."""
    big = picture(0, 64, 64)
    for side in ("blur", "sharp"):
        write_image(tmp_path / side / "1.png", big)
    source = open_source(tmp_path, BlurRecipe(reductions=(2, 4)))  # 4 would leave 16 of the 32 pixels
    mean = big.reshape(32, 2, 32, 2, 3).mean((1, 3))
    for seed in range(4):
        blur, sharp = source.draw(np.random.default_rng(seed), 32)
        assert np.abs(blur - mean).max() <= 0.5 and np.array_equal(blur, sharp)


def test_a_picture_with_no_room_for_any_reduction_is_cut_at_the_smallest():
    rng = np.random.default_rng(0)
    assert draw_reduction(rng, (1, 2, 3), (32, 32), (70, 80)) in (1, 2)
    assert {draw_reduction(rng, (1, 2, 3), (32, 32), (96, 96)) for _ in range(50)} == {1, 2, 3}
    assert draw_reduction(rng, (2, 3), (32, 32), (40, 40)) == 2


def test_held_back_photographs_are_all_blurred():
    recipe = BlurRecipe(still_share=1.0, shake_share=1.0, linear_share=0.0, turn_share=0.0)
    images = tuple(np.random.default_rng(index).integers(0, 256, (300, 300, 3), np.uint8) for index in range(3))
    _, held = hold_back(Photos(images, recipe), seed=0)
    assert all((pair.blur != pair.sharp).any() for pair in fixed_pairs(held, seed=0))


def test_held_back_photographs_are_not_nearly_sharp():
    recipe = BlurRecipe(still_share=0.0, min_length=12.0, slight_share=0.9)
    _, held = hold_back(Photos((picture(1), picture(2)), recipe), seed=0)
    lengths = [held.make(np.random.default_rng(seed), 32, 32).record["length"] for seed in range(20)]
    assert min(lengths) >= 12 and held.recipe.min_length == 12


@pytest.fixture
def recordings(tmp_path):
    rows = [f"{t:.3f},{np.sin(9 * t)},{np.cos(7 * t)},0.1" for t in np.arange(0, 2, 0.005)]
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone" / "walk.csv").write_text("\n".join(["t_s,wx_rad_s,wy_rad_s,wz_rad_s", *rows]))
    return tmp_path / "phone"


RECORDED = BlurRecipe(still_share=0.0, shake_share=0.0, linear_share=0.0, turn_share=0.0, recorded_share=1.0)


@pytest.mark.parametrize("with_folder", [False, True])
def test_recordings_are_what_training_and_validation_draw_from(photo_folder, recordings, with_folder):
    folders = (str(photo_folder),) if with_folder else ()
    data = open_training_data(folders, (), RECORDED, SHARES, 0, recordings)
    assert data.described[1:] == ["1 recordings of phone, 2.0 s"]
    record = data.source.make(np.random.default_rng(0), 32, 32).record
    assert record["recording"] == "walk.csv" and 0 <= record["start_seconds"] < 2
    without = open_training_data(folders, (), RECORDED, SHARES, 0)
    pairs = zip(data.validation, without.validation, strict=True)
    assert any(not np.array_equal(own.blur, other.blur) for own, other in pairs)


def test_recordings_that_nothing_would_draw_from_are_refused(photo_folder, pairs_folder, recordings):
    with pytest.raises(UserError, match="recorded_share is 0"):
        open_training_data((str(photo_folder),), (), RECIPE, SHARES, 0, recordings)
    with pytest.raises(UserError, match="is for photographs"):
        open_training_data((str(pairs_folder),), (), RECORDED, SHARES, 0, recordings)
    with pytest.raises(UserError, match="no .csv file"):
        open_training_data((), (), RECORDED, SHARES, 0, photo_folder)


def test_nothing_is_put_in_front_of_held_back_photographs():
    images = (np.full((300, 300, 3), 10, np.uint8), np.full((300, 300, 3), 200, np.uint8))
    recipe = BlurRecipe(still_share=0.0, shake_share=1.0, linear_share=0.0, turn_share=0.0, scene_share=9.0)
    for kept in (recipe, dataclasses.replace(recipe, shake_share=0.0)):
        _, held = hold_back(Photos(images, kept), seed=0)
        models = {held.make(np.random.default_rng(seed), 64, 64).record["model"] for seed in range(20)}
        assert models == ({"shake"} if kept is recipe else {"scene"})


def test_photographs_are_enlarged_and_of_less_contrast_where_the_recipe_says_so():
    def mean_step_and_spread(**softened) -> tuple[float, float]:
        source = Photos((picture(1, 200, 200),), BlurRecipe(**softened))
        drawn = [source.make(np.random.default_rng(seed), 48, 64).sharp.astype(float) for seed in range(20)]
        assert all(image.shape == (48, 64, 3) for image in drawn)
        return np.mean([np.abs(np.diff(image, axis=1)).mean() for image in drawn]), np.mean([i.std() for i in drawn])

    softened = Photos((picture(1, 200, 200),), BlurRecipe(max_zoom=3.0, min_contrast=0.2))
    record = softened.make(np.random.default_rng(0), 48, 64).record
    assert 1 < record["zoom"] < 3 and 0.2 < record["contrast"] < 1
    step, spread = mean_step_and_spread()
    zoomed_step, _ = mean_step_and_spread(max_zoom=3.0)
    _, low_spread = mean_step_and_spread(min_contrast=0.2)
    assert zoomed_step < 0.8 * step
    assert low_spread == pytest.approx(0.6 * spread, rel=0.15)
