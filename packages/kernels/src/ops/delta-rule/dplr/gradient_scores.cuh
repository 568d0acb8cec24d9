#pragma once

#include "../chunkwise/split.cuh"
#include "gradient_block.cuh"

namespace longscan {

/// The gradients of a chunk's scores:
///
///     dPk = scale tril(dO V^T)    dPe = scale tril(dO X^T)
///     dAk = tril(Z V^T, -1)       dAe = tril(Z X^T, -1)
///
/// They are rounded once, to two bf16 terms, and so the same for a query or an eraser as for the key that it
/// meets. With e = -beta k there is one written key, of V - X. A decay of a head is in them.
///
/// In squares of 16: the low term of square (i, j) lies above the diagonal, at (j, i); those of the
/// diagonal's own squares (i, i) in `lows` at (i, which).
template <typename Kind>
class DplrGradientScores : protected DplrGradientBlock<Kind> {
  using Block = DplrGradientBlock<Kind>;

 protected:
  using Block::Block, Block::base, Block::group, Block::lane, Block::pair, Block::warp;
  using typename Block::Layout;

  __device__ void makeScores() {
    // Eight parts, of 16 rows of dO or Z, of which the first ones meet few keys.
    if constexpr (Kind::warps == 8) {
      makeScores(warp % 4, warp >= 4);
    } else {
      // No copy of the code for each: a warp goes through all of it once a chunk, and waits for it to be
      // fetched.
#pragma unroll 1
      for (int part = 0; part < 2; part++) makeScores(part ? 3 - warp : warp, part);
    }
  }

  // Squares of the low terms, as products take them: of rows [16 i, 16 i + 16), columns [16 j, 16 j + 16).
  __device__ MmaB2 lowOfKeys(int which, int i, int j) const {
    return i == j ? loadBTransposed(this->lows(), 16 * i, 16 * which, lane)
                  : loadBTransposed(this->scores(which), 16 * j, 16 * i, lane);
  }
  __device__ MmaB2 lowOfQueries(int which, int i, int j) const {
    return i == j ? loadB(this->lows(), 16 * i, 16 * which, lane)
                  : loadB(this->scores(which), 16 * j, 16 * i, lane);
  }

 private:
  __device__ void makeScores(int rows, bool erases) {
    Sums keySum, extraSum;
    clear(keySum);
    clear(extraSum);
    for (int tile = 0; tile < this->valueTiles; tile++) {
      this->needValues(tile);
#pragma unroll
      for (int s = 0; s < 4; s++) {
        const MmaA a = loadA(erases ? this->z() : this->reads(), 16 * rows, 16 * s, lane);
        MmaA other = a;
        if (Kind::own) {
#pragma unroll
          for (int i = 0; i < 4; i++) other.x[i] ^= 0x80008000;
        }
        Sums& extra = Kind::own ? keySum : extraSum;
#pragma unroll
        for (int n = 0; n < 8; n += 2) {
          if (n > 2 * rows) continue;
          mma(keySum[n], keySum[n + 1], a, loadBTransposed(this->v(), 8 * n, 16 * s, lane));
          mma(extra[n], extra[n + 1], other, loadBTransposed(this->x(), 8 * n, 16 * s, lane));
        }
      }
    }
#pragma unroll 1
    for (int i = 0; i < Kind::writes; i++) {
      finish(keySum, rows, erases, 2 * i + erases);
#pragma unroll
      for (int n = 0; n < 8; n++)
#pragma unroll
        for (int j = 0; j < 4; j++) keySum[n][j] = extraSum[n][j];
    }
  }

  __device__ void finish(Sums& sum, int rows, bool erases, int which) const {
    const auto sumAt = [&](int at, int row) { return loadSharedFloat(base + at + 4 * row); };
#pragma unroll
    for (int n = 0; n < 8; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int row = 16 * rows + group + i / 2 * 8, column = 8 * n + pair + i % 2;
        float factor = erases ? 1.0f : this->slice.scale;
        if (Kind::ofHead)
          factor *= exp2Fast(
              fminf(sumAt(erases ? Layout::before : Layout::sums, row) - sumAt(Layout::sums, column), 0.0f));
        sum[n][i] = column < row + (erases ? 0 : 1) ? factor * sum[n][i] : 0.0f;
      }
    }
#pragma unroll
    for (int s = 0; s < 4; s++) {
      SplitA split;
#pragma unroll
      for (int i = 0; i < 4; i++)
        split.set(i, sum[2 * s + i / 2][i % 2 * 2], sum[2 * s + i / 2][i % 2 * 2 + 1]);
      if (s > rows) continue;
      const bool isOwn = s == rows;
      storeA(this->scores(which), 16 * rows, s, split.high, lane);
      storeA(isOwn ? this->lows() : this->scores(which), 16 * s, isOwn ? which : rows, split.low, lane);
    }
  }
};

}  // namespace longscan
