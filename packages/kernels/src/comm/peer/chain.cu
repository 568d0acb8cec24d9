#include "chain.h"

#include "chain_cut.h"
#include "chain_rows.cuh"
#include "signals.cuh"

namespace longscan {

namespace {

/// Waits until block `number` of this lane may pass: it is here, and there is room for what comes of it.
/// False: it never will.
__device__ bool awaitBlock(const LongscanPeerChain& chain, int lane, uint64_t number) {
  const LongscanPeerLink &prev = chain.prev, &next = chain.next;
  return (prev.own == nullptr || awaitCount(chain, lane, prev.own->arrived[lane], number + 1)) &&
         (next.own == nullptr || number < longscanPeerSlots ||
          awaitCount(chain, lane, next.own->taken[lane], number + 1 - longscanPeerSlots));
}

/// One block of threads a lane, which waits for nobody else of its grid.
template <typename Rows>
__global__ void __launch_bounds__(chainThreads, 2) chainKernel(const LongscanPeerChain chain, ChainCut cut) {
  __shared__ bool mayPass;
  const int lane = static_cast<int>(blockIdx.x);
  const int end = cut.begin(lane + 1);
  uint64_t number = chain.passed[lane];
  Rows rows;
  for (int begin = cut.begin(lane); begin < end; begin += cut.rowsPerBlock, number++) {
    const int count = min(cut.rowsPerBlock, end - begin);
    rows.prepare(chain, begin, count);
    if (threadIdx.x == 0) mayPass = awaitBlock(chain, lane, number);
    __syncthreads();
    if (!mayPass) return;
    const int slot = static_cast<int>(number % longscanPeerSlots);
    rows.pass(chain, begin, count, chain.prev.own ? chain.prev.own->slots[lane][slot] : nullptr,
              chain.next.own ? chain.next.theirs->slots[lane][slot] : nullptr);
    __syncthreads();
    // By another thread than waits for the next block: the fence takes as long as the way there and back.
    if (threadIdx.x != chainThreads - 1) continue;
    // What all threads of the block have read and written comes before the counts.
    __threadfence_system();
    if (chain.next.own != nullptr) storeCount(chain.next.theirs->arrived[lane], number + 1);
    if (chain.prev.own != nullptr) storeCount(chain.prev.theirs->taken[lane], number + 1);
  }
  if (threadIdx.x == 0) chain.passed[lane] = number;
}

/// Calls `body` with the kernel for rows of this kind, four numbers at once or one.
template <typename Body>
cudaError_t withKernel(TransitionKind kind, bool byFours, Body body) {
  switch (kind) {
    case TransitionKind::identity:
      return byFours ? body(chainKernel<ElementRows<TransitionKind::identity, 4>>)
                     : body(chainKernel<ElementRows<TransitionKind::identity, 1>>);
    case TransitionKind::scalar:
      return byFours ? body(chainKernel<ElementRows<TransitionKind::scalar, 4>>)
                     : body(chainKernel<ElementRows<TransitionKind::scalar, 1>>);
    case TransitionKind::diagonal:
      return byFours ? body(chainKernel<ElementRows<TransitionKind::diagonal, 4>>)
                     : body(chainKernel<ElementRows<TransitionKind::diagonal, 1>>);
    case TransitionKind::expDiagonal:
      return byFours ? body(chainKernel<ElementRows<TransitionKind::expDiagonal, 4>>)
                     : body(chainKernel<ElementRows<TransitionKind::expDiagonal, 1>>);
    case TransitionKind::fixedComplex:
      return body(chainKernel<ComplexRows>);
    case TransitionKind::dense:
      return body(chainKernel<DenseRows>);
    case TransitionKind::logMax:
      return body(chainKernel<LogMaxRows>);
  }
  return cudaErrorInvalidValue;
}

bool isByFours(const LongscanPeerChain& chain) {
  const auto isAligned = [](const float* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
  return chain.task.rowLength % 4 == 0 && isAligned(chain.task.E) && isAligned(chain.incoming);
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanPeerChain(const LongscanPeerChain* chain, CUstream_st* stream) {
  const auto kind = static_cast<TransitionKind>(chain->task.kind);
  const ChainCut cut(static_cast<int>(chain->numRows), static_cast<int>(chain->task.rowLength), kind);
  return withKernel(kind, isByFours(*chain), [&](auto* kernel) {
    kernel<<<static_cast<unsigned>(cut.lanes), chainThreads, 0, stream>>>(*chain, cut);
    return cudaGetLastError();
  });
}

int longscanPeerChainLoad() {
  for (int kind = 0; kind <= static_cast<int>(TransitionKind::logMax); kind++) {
    for (const bool byFours : {false, true}) {
      const cudaError_t status = withKernel(static_cast<TransitionKind>(kind), byFours, [](auto* kernel) {
        cudaFuncAttributes attributes;
        return cudaFuncGetAttributes(&attributes, kernel);
      });
      if (status != cudaSuccess) return status;
    }
  }
  return cudaSuccess;
}
