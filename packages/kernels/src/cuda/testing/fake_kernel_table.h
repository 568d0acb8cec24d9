#pragma once

#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <utility>

/// What a kernel takes on one architecture, as ptxas says.
struct FakeKernelImage {
  int registers = 0;
  int sharedBytes = 0;  // declared; a launch asks for more
};

/// All images of the kernels by symbol and architecture ("sm_80"), read once from the file that
/// LONGSCAN_FAKE_KERNELS names: lines "symbol architecture registers sharedBytes".
class FakeKernelTable {
 public:
  static const FakeKernelTable& read() {
    static const FakeKernelTable table;
    return table;
  }

  /// Null: the library has no code of this kernel for that architecture.
  const FakeKernelImage* find(const std::string& symbol, const std::string& architecture) const {
    const auto found = images_.find({symbol, architecture});
    return found == images_.end() ? nullptr : &found->second;
  }

 private:
  FakeKernelTable() {
    const char* path = std::getenv("LONGSCAN_FAKE_KERNELS");
    std::ifstream file(path == nullptr ? "" : path);
    std::string symbol, architecture;
    FakeKernelImage image;
    while (file >> symbol >> architecture >> image.registers >> image.sharedBytes)
      images_[{symbol, architecture}] = image;
  }

  std::map<std::pair<std::string, std::string>, FakeKernelImage> images_;
};
