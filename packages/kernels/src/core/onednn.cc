#include "onednn.h"

#include <dlfcn.h>

#include <cstdlib>

#include "error.h"

namespace longscan {

namespace {

/// The beginning of oneDNN's dnnl_version_t, the same in versions 2 and 3.
struct VersionHead {
  int major;
  int minor;
  int patch;
};

bool asksForBuiltin() {
  const char* choice = std::getenv("LONGSCAN_GEMM");
  const std::string name = choice == nullptr || *choice == '\0' ? "onednn" : choice;
  if (name != "onednn" && name != "builtin") {
    throw Error("E-ONEDNN", "LONGSCAN_GEMM is \"" + name +
                                "\", expected onednn or builtin. Fix: set one of them, or leave it out");
  }
  return name == "builtin";
}

}  // namespace

bool Onednn::open(const std::string& path, std::string& tried) {
  tried += tried.empty() ? "" : "; ";
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    tried += dlerror();
    return false;
  }
  sgemm_ = reinterpret_cast<Sgemm>(dlsym(handle, "dnnl_sgemm"));
  const auto version = reinterpret_cast<const VersionHead* (*)()>(dlsym(handle, "dnnl_version"));
  if (sgemm_ == nullptr || version == nullptr) {
    tried += path + ": has no dnnl_sgemm or dnnl_version";
    dlclose(handle);
    return false;
  }
  // Looked up through the same handle, so it is the OpenMP that this oneDNN uses. Never closed: OpenMP's
  // threads do not survive it.
  setNumThreads_ = reinterpret_cast<void (*)(int)>(dlsym(handle, "omp_set_num_threads"));
  const VersionHead* head = version();
  path_ = path;
  version_ =
      std::to_string(head->major) + "." + std::to_string(head->minor) + "." + std::to_string(head->patch);
  return true;
}

Onednn::Onednn() {
  std::string tried;
  const char* given = std::getenv("LONGSCAN_ONEDNN");
  if (given != nullptr && *given != '\0') {
    if (open(given, tried)) return;
  } else if (open("libdnnl.so.3", tried) || open("libdnnl.so.2", tried)) {
    return;
  }
  throw Error("E-ONEDNN",
              "oneDNN cannot be opened. Tried: " + tried +
                  ". Fix: install it (Debian, Ubuntu: apt-get install libdnnl2 or libdnnl3), name its file "
                  "in LONGSCAN_ONEDNN, or choose our own slower matrix product with LONGSCAN_GEMM=builtin");
}

void Onednn::sgemm(int numThreads, char transA, char transB, int64_t m, int64_t n, int64_t k, float alpha,
                   const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
                   int64_t ldc) const {
  // OpenMP keeps this number per thread; setting it costs a few nanoseconds.
  if (setNumThreads_ != nullptr) setNumThreads_(numThreads);
  const int status = sgemm_(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  if (status != 0) throw Error("E-ONEDNN", "dnnl_sgemm returned status " + std::to_string(status));
}

const Onednn* openOnednn() {
  static const bool builtin = asksForBuiltin();
  if (builtin) return nullptr;
  static const Onednn library;
  return &library;
}

}  // namespace longscan
