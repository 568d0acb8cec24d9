#pragma once

#include <cstddef>
#include <string>

struct CUstream_st;
struct ncclComm;

namespace longscan {

/// The calls of NCCL that we make, opened at run time so that the addon loads on hosts without it. Names and
/// types are those of nccl.h; `int` results are ncclResult_t.
struct Nccl {
  struct UniqueId {
    char internal[128];
  };
  /// The beginning of ncclConfig_t that NCCL 2.14 knows; its newer fields keep their defaults.
  struct Config {
    size_t size = sizeof(Config);
    unsigned magic = 0xcafebeef;
    unsigned version = 21400;
    int blocking = 0;
  };

  int (*getVersion)(int* version);
  const char* (*getErrorString)(int status);
  const char* (*getLastError)(ncclComm* comm);
  int (*getUniqueId)(UniqueId* id);
  int (*commInitRankConfig)(ncclComm** comm, int size, UniqueId id, int rank, Config* config);
  int (*commGetAsyncError)(ncclComm* comm, int* status);
  int (*commFinalize)(ncclComm* comm);
  int (*commDestroy)(ncclComm* comm);
  int (*commAbort)(ncclComm* comm);
  int (*groupStart)();
  int (*groupEnd)();
  int (*send)(const void* data, size_t count, int type, int peer, ncclComm* comm, CUstream_st* stream);
  int (*recv)(void* data, size_t count, int type, int peer, ncclComm* comm, CUstream_st* stream);
  int (*allGather)(const void* input, void* output, size_t count, int type, ncclComm* comm,
                   CUstream_st* stream);
  int (*reduceScatter)(const void* input, void* output, size_t count, int type, int op, ncclComm* comm,
                       CUstream_st* stream);
  int (*reduce)(const void* input, void* output, size_t count, int type, int op, int root, ncclComm* comm,
                CUstream_st* stream);
  int (*allReduce)(const void* input, void* output, size_t count, int type, int op, ncclComm* comm,
                   CUstream_st* stream);
  int (*broadcast)(const void* input, void* output, size_t count, int type, int root, ncclComm* comm,
                   CUstream_st* stream);

  std::string path;
  /// 22803 is NCCL 2.28.3.
  int version = 0;

  /// What NCCL says of a failure: `unhandled cuda error (1)`, and its last warning if there is one.
  std::string describe(int status) const;
  /// Throws E-NCCL with that unless `status` is success or in progress.
  void check(int status, const char* call) const;
};

// Of ncclResult_t, ncclDataType_t and ncclRedOp_t.
constexpr int ncclSuccess = 0, ncclRemoteError = 6, ncclInProgress = 7;
constexpr int ncclBytes = 0, ncclFloat32 = 7, ncclFloat64 = 8;
constexpr int ncclSum = 0;

/// The process's NCCL, opened by the first call that succeeds; LONGSCAN_NCCL, if set, is the only path tried.
/// Throws E-NCCL with every path tried and the remedy, or if it is too old.
const Nccl& openNccl();

/// `2.28.3` for 22803.
std::string ncclVersionName(int version);

}  // namespace longscan
