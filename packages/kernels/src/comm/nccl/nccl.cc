#include "nccl.h"

#include "../../core/error.h"
#include "../../core/find_library.h"

namespace longscan {

namespace {

/// The oldest whose communicators can be set up and used without blocking.
constexpr int oldestVersion = 21400;

constexpr const char* remedy =
    "install NCCL 2.14 or newer, the same on every host (pip install nvidia-nccl-cu13 for CUDA 13, "
    "nvidia-nccl-cu12 for CUDA 12)";

Nccl open() {
  const FoundLibrary library =
      findLibrary({"E-NCCL", "NCCL", "LONGSCAN_NCCL", {"libnccl.so.2", "libnccl.so"}, remedy});
  Nccl nccl{};
  nccl.path = library.path;
  library.find("ncclGetVersion", nccl.getVersion);
  library.find("ncclGetErrorString", nccl.getErrorString);
  nccl.check(nccl.getVersion(&nccl.version), "ncclGetVersion");
  if (nccl.version < oldestVersion) {
    library.refuse("is NCCL " + ncclVersionName(nccl.version) + ", expected " +
                   ncclVersionName(oldestVersion) + " or newer");
  }
  library.find("ncclGetLastError", nccl.getLastError);
  library.find("ncclGetUniqueId", nccl.getUniqueId);
  library.find("ncclCommInitRankConfig", nccl.commInitRankConfig);
  library.find("ncclCommGetAsyncError", nccl.commGetAsyncError);
  library.find("ncclCommFinalize", nccl.commFinalize);
  library.find("ncclCommDestroy", nccl.commDestroy);
  library.find("ncclCommAbort", nccl.commAbort);
  library.find("ncclGroupStart", nccl.groupStart);
  library.find("ncclGroupEnd", nccl.groupEnd);
  library.find("ncclSend", nccl.send);
  library.find("ncclRecv", nccl.recv);
  library.find("ncclAllGather", nccl.allGather);
  library.find("ncclReduceScatter", nccl.reduceScatter);
  library.find("ncclReduce", nccl.reduce);
  library.find("ncclAllReduce", nccl.allReduce);
  library.find("ncclBroadcast", nccl.broadcast);
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
