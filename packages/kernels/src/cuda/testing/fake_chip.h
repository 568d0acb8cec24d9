#pragma once

#include <cstdlib>
#include <string>

#include "fake_settings.h"

/// The chip that the fake driver and the fake runtime pretend to be; "capability=80" in LONGSCAN_FAKE_CUDA.
struct FakeChip {
  int capability;
  int numProcessors;
  int sharedBytes;           // a block's at most
  int processorSharedBytes;  // a multiprocessor's
};

/// From NVIDIA's tables of compute capabilities; multiprocessors of an A100, an RTX 3090, an L40S, an H200.
inline FakeChip fakeChip() {
  switch (std::atoi(setting("capability", "90").c_str())) {
    case 80:
      return {80, 108, 163 << 10, 164 << 10};
    case 86:
      return {86, 82, 99 << 10, 100 << 10};
    case 89:
      return {89, 142, 99 << 10, 100 << 10};
    default:
      return {90, 132, 227 << 10, 228 << 10};
  }
}
