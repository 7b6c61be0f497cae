"""Rows in 8 bits, beside PyTorch's own casts and products in fp32; on a GPU, with the kernels that are used there."""

from __future__ import annotations

import pytest
import torch

from tunesmith.precision.fp8_cast import MIN_PEAK, Cast, cast_rows, fp8_matmul_scaled, padded, transposed

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 9),
    reason="products in 8 bits run on a GPU with tensor cores for them only",
)
DEVICES = ["cpu", pytest.param("cuda", marks=needs_gpu)]


def error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return ((found.double() - wanted.double()).norm() / wanted.double().norm()).item()


def back(cast: Cast) -> torch.Tensor:
    return cast.rows.double() * cast.scales.double()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("width", [896, 3420, 3584, 18944])
@pytest.mark.parametrize(("dtype", "digits"), [(E4M3, 3), (E5M2, 2)])
def test_each_value_is_within_half_a_step_of_what_it_was(
    device: str, width: int, dtype: torch.dtype, digits: int
) -> None:
    torch.manual_seed(0)
    rows = (torch.randn(7, width) * torch.logspace(-9, 9, 7)[:, None]).to(device, torch.bfloat16)
    cast = cast_rows(rows, dtype)
    assert cast.rows.shape == (7, padded(width))
    assert not cast.rows[:, width:].float().any()
    found = back(cast)[:, :width]
    # Values near zero have the steps of the smallest number.
    step = torch.maximum(rows.double().abs() * 2.0**-digits, cast.scales.double() * 2.0 ** (-6 - digits))
    assert ((found - rows.double()).abs() <= 0.51 * step).all()
    torch.testing.assert_close(
        cast.rows.float().abs().amax(1), torch.full((7,), torch.finfo(dtype).max, device=device)
    )


@pytest.mark.parametrize("device", DEVICES)
def test_columns_are_multiplied_by_their_factor_before_rows_are_scaled(device: str) -> None:
    torch.manual_seed(0)
    rows, factor = torch.randn(5, 64, device=device), torch.logspace(-8, 2, 64, device=device)
    cast = cast_rows(rows, factor=factor)
    plain = cast_rows(rows * factor)
    assert error(back(cast), back(plain)) < 0.01
    assert error(back(cast), rows * factor) < 0.04


@pytest.mark.parametrize("device", DEVICES)
def test_rows_of_zeros_and_tiny_rows_stay_finite(device: str) -> None:
    rows = torch.zeros(3, 32, device=device)
    rows[1], rows[2] = MIN_PEAK / 4, 1e-25
    cast = cast_rows(rows)
    assert not back(cast)[0].any()
    assert back(cast).isfinite().all()
    torch.testing.assert_close(back(cast)[2].float(), rows[2], rtol=1e-6, atol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_not_a_number_is_not_hidden(device: str) -> None:
    rows = torch.ones(2, 32, device=device)
    rows[0, 3], rows[1, 3] = float("nan"), float("inf")
    assert back(cast_rows(rows)).isnan().any(1).all()


@pytest.mark.parametrize("device", DEVICES)
def test_rows_that_do_not_lie_side_by_side_are_cast_too(device: str) -> None:
    rows = torch.randn(64, 48, device=device)
    for seen in (rows.t(), rows[:, 16:], torch.ones((), device=device).expand(64, 48)):
        assert torch.equal(back(cast_rows(seen)), back(cast_rows(seen.contiguous())))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(16, 16), (144, 272), (3424, 1280)])
def test_a_transposed_copy_is_laid_out_row_by_row(device: str, size: tuple[int, int]) -> None:
    matrix = torch.randn(size, device=device).to(E4M3)
    out = transposed(matrix)
    assert out.is_contiguous()
    assert torch.equal(out.float(), matrix.float().t())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("dtype", [E4M3, E5M2])
@pytest.mark.parametrize("size", [(1, 64, 32), (33, 896, 4864), (5, 18944, 3584)])
def test_products_are_near_those_in_fp32(
    device: str, fast: bool, dtype: torch.dtype, size: tuple[int, int, int]
) -> None:
    number, width, out = size
    torch.manual_seed(0)
    # Drawn on the CPU, for few numbers tell little and must be the same everywhere.
    left = torch.randn(number, width).to(device)
    right = (torch.randn(out, width) * torch.rand(out, 1)).to(device)
    bias = torch.randn(out).bfloat16().to(device)
    small = cast_rows(right)
    found = fp8_matmul_scaled(cast_rows(left, dtype), small.rows, small.scales[:, 0], bias, fast)
    assert found.dtype == torch.bfloat16
    assert error(found, left @ right.t() + bias.float()) < (0.04 if dtype == E4M3 else 0.065)


def test_sizes_are_filled_up_to_what_the_hardware_takes() -> None:
    assert [padded(width) for width in (1, 16, 17, 3420)] == [16, 16, 32, 3424]
