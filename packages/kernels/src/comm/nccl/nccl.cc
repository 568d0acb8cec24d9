#include "nccl.h"

#include <dlfcn.h>

#include "../../core/error.h"
#include "../../core/find_library.h"

namespace longscan {

namespace {

/// The oldest whose communicators can be set up and used without blocking.
constexpr int oldestVersion = 21400;

constexpr const char* remedy =
    "install NCCL 2.14 or newer, the same on every host (pip install nvidia-nccl-cu13 for CUDA 13, "
    "nvidia-nccl-cu12 for CUDA 12)";

template <typename Function>
void find(const FoundLibrary& library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library.handle, name));
  if (function != nullptr) return;
  throw Error("E-NCCL",
              library.path + " has no " + name + ". Fix: " + remedy + ", or name another in LONGSCAN_NCCL");
}

Nccl open() {
  const FoundLibrary library =
      findLibrary({"E-NCCL", "NCCL", "LONGSCAN_NCCL", {"libnccl.so.2", "libnccl.so"}, remedy});
  Nccl nccl{};
  nccl.path = library.path;
  find(library, "ncclGetVersion", nccl.getVersion);
  find(library, "ncclGetErrorString", nccl.getErrorString);
  nccl.check(nccl.getVersion(&nccl.version), "ncclGetVersion");
  if (nccl.version < oldestVersion) {
    throw Error("E-NCCL", library.path + " is NCCL " + ncclVersionName(nccl.version) + ", expected " +
                              ncclVersionName(oldestVersion) + " or newer. Fix: " + remedy +
                              ", or name another in LONGSCAN_NCCL");
  }
  find(library, "ncclGetLastError", nccl.getLastError);
  find(library, "ncclGetUniqueId", nccl.getUniqueId);
  find(library, "ncclCommInitRankConfig", nccl.commInitRankConfig);
  find(library, "ncclCommGetAsyncError", nccl.commGetAsyncError);
  find(library, "ncclCommFinalize", nccl.commFinalize);
  find(library, "ncclCommDestroy", nccl.commDestroy);
  find(library, "ncclCommAbort", nccl.commAbort);
  find(library, "ncclGroupStart", nccl.groupStart);
  find(library, "ncclGroupEnd", nccl.groupEnd);
  find(library, "ncclSend", nccl.send);
  find(library, "ncclRecv", nccl.recv);
  find(library, "ncclAllGather", nccl.allGather);
  find(library, "ncclReduceScatter", nccl.reduceScatter);
  find(library, "ncclReduce", nccl.reduce);
  find(library, "ncclAllReduce", nccl.allReduce);
  find(library, "ncclBroadcast", nccl.broadcast);
  return nccl;
}

}  // namespace

std::string ncclVersionName(int version) {
  // Before 2.9 the minor version had one digit.
  const int major = version < 10000 ? version / 1000 : version / 10000;
  const int minor = version < 10000 ? version % 1000 / 100 : version % 10000 / 100;
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(version % 100);
}

std::string Nccl::describe(int status) const {
  std::string text = std::string(getErrorString(status)) + " (" + std::to_string(status) + ")";
  const char* last = getLastError == nullptr ? nullptr : getLastError(nullptr);
  if (last != nullptr && *last != '\0') text += "; NCCL's last warning: " + std::string(last);
  return text;
}

void Nccl::check(int status, const char* call) const {
  if (status == ncclSuccess || status == ncclInProgress) return;
  throw Error("E-NCCL", std::string(call) + " failed: " + describe(status));
}

const Nccl& openNccl() {
  static const Nccl nccl = open();
  return nccl;
}

}  // namespace longscan
