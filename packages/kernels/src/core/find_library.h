#pragma once

#include <string>
#include <vector>

namespace longscan {

/// A library of CUDA's that hosts keep in different places.
struct LibrarySearch {
  const char* code;                // of the error: E-CUBLAS
  const char* title;               // "cuBLASLt", for messages
  const char* variable;            // LONGSCAN_CUBLAS: if set, the only path that is tried
  std::vector<std::string> names;  // file names, the best first: libcublasLt.so.13
  const char* remedy;              // how to install it: "install …"
};

struct FoundLibrary {
  void* handle = nullptr;  // of dlopen; never closed
  std::string path;
  LibrarySearch search;

  /// One of its functions. Throws the search's code if it has none of that name.
  template <typename Function>
  void find(const char* name, Function& function) const {
    function = reinterpret_cast<Function>(addressOf(name));
  }
  /// Throws the search's code, with the remedy: `found` says what is wrong with this library.
  [[noreturn]] void refuse(const std::string& found) const;

 private:
  void* addressOf(const char* name) const;
};

/// Opens the first that can be: by name as the loader looks (LD_LIBRARY_PATH, ldconfig), in Python
/// environments (`site-packages/nvidia/*/lib` of VIRTUAL_ENV, CONDA_PREFIX, the python3 in PATH and the
/// user), in CUDA_HOME, CUDA_PATH and /usr/local/cuda*. Throws `code` with all that was tried and the remedy.
FoundLibrary findLibrary(const LibrarySearch& search);

}  // namespace longscan
