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
};

/// Opens the first that can be: by name as the loader looks (LD_LIBRARY_PATH, ldconfig), in Python
/// environments (`site-packages/nvidia/*/lib` of VIRTUAL_ENV, CONDA_PREFIX, the python3 in PATH and the
/// user), in CUDA_HOME, CUDA_PATH and /usr/local/cuda*. Throws `code` with all that was tried and the remedy.
FoundLibrary findLibrary(const LibrarySearch& search);

}  // namespace longscan
