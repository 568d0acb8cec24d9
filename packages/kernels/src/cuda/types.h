#pragma once

// What the C interfaces of several kernels name.

/// Of tensors whose kind a call chooses. Sums inside kernels are f32 in any case.
enum LongscanElement { longscanElementBf16 = 0, longscanElementF32 = 1 };
