#include <cstdlib>

#include "../../ops/add/cuda.h"
#include "../../ops/delta-rule/chunkwise/kept.h"
#include "../../ops/delta-rule/dplr/kept.h"
#include "../../ops/delta-rule/general/general.h"
#include "../../ops/gated-linear/cuda.h"
#include "../../ops/linear/cuda.h"
#include "../../ops/lti-scan/cuda_plan.h"
#include "../../ops/sum-rows/cuda.h"
#include "../library.h"
#include "fake_chain.h"
#include "fake_kernel.h"
#include "fake_settings.h"

// A library of CUDA kernels without any GPU, for tests of what is said where kernels are missing, and with
// what products of matrices need. LONGSCAN_FAKE_CUDA, as for the fake driver: "toolkit=13000 probe=209" (a
// cudaError_t: no code for this GPU; 716: a failed kernel's context). Head sizes are refused as the real
// kernels refuse them, and what the delta rule and scans of time-invariant systems keep is as large as there.

namespace {

size_t bytesOf(const LongscanGatedLinear* call) {
  const bool isOffered = call->K % 8 == 0 && call->K <= 256 && call->V % 8 == 0 && call->V <= 512;
  return isOffered ? 64 * static_cast<size_t>(call->T) : 0;
}

}  // namespace

void longscanCudaDescribe(LongscanCudaLibrary* library) {
  *library = {std::atoi(setting("toolkit", "13000").c_str()), 2, {800, 900}};
}
int longscanCudaProbe() {
  return std::atoi(setting("probe", "0").c_str());
}
const char* longscanCudaErrorText(int error) {
  return error == 209 ? "no kernel image is available for execution on the device" : "misaligned address";
}

int longscanPeerChainLoad() {
  return std::atoi(setting("load", "0").c_str());
}
int longscanPeerChain(const LongscanPeerChain* chain, CUstream_st* stream) {
  return launchFake(stream, [chain = *chain] { runFakeChain(chain); });
}
int longscanTransitionApply(const LongscanTransition* task, int64_t begin, int64_t end, CUstream_st* stream) {
  return launchFake(stream, [=, task = *task] {
    for (int64_t at = begin * task.rowLength; at < end * task.rowLength; at++)
      task.out[at] = applyFake(task, at, task.S[at]);
  });
}

int longscanRoundBias(const float* bias, void* rounded, int64_t count, CUstream_st* stream) {
  return launchFake(stream, [=] {
    for (int64_t i = 0; i < count; i++) storeFake(rounded, true, i, bias[i]);
  });
}

int longscanAxpy(float factor, LongscanArray x, LongscanArray y, int64_t count, CUstream_st* stream) {
  return launchFake(stream, [=] {
    for (int64_t i = 0; i < count; i++) {
      storeFake(y.data, y.isBf16, i, loadFake(y.data, y.isBf16, i) + factor * loadFake(x.data, x.isBf16, i));
    }
  });
}
size_t longscanSumRowsWorkspaceBytes(const LongscanSumRows*) {
  return 16;
}
int longscanSumRows(const LongscanSumRows* call, CUstream_st* stream) {
  return launchFake(stream, [call = *call] {
    for (int64_t j = 0; j < call.cols; j++) {
      double sum = call.accumulate ? loadFake(call.target, call.targetIsBf16, j) : 0;
      for (int64_t i = 0; i < call.rows; i++) sum += loadFake(call.x, call.isBf16, i * call.cols + j);
      storeFake(call.target, call.targetIsBf16, j, sum);
    }
  });
}

size_t longscanGatedLinearStatesBytes(const LongscanGatedLinear* call) {
  return bytesOf(call);
}
size_t longscanGatedLinearDecayedBytes(const LongscanGatedLinear*) {
  return 0;
}
size_t longscanGatedLinearWorkspaceBytes(const LongscanGatedLinear* call) {
  return bytesOf(call);
}
size_t longscanGatedLinearBackwardWorkspaceBytes(const LongscanGatedLinear* call) {
  return bytesOf(call);
}
int longscanGatedLinearForward(const LongscanGatedLinear*, const LongscanGatedLinearForward*, CUstream_st*) {
  return 0;
}
int longscanGatedLinearBackward(const LongscanGatedLinear*, const LongscanGatedLinearBackward*,
                                CUstream_st*) {
  return 0;
}

int longscanDeltaRuleTakes(const LongscanDeltaRule*) {
  return 1;
}
size_t longscanDeltaRuleKeptBytes(const LongscanDeltaRule* call) {
  return longscan::DeltaKept<uint16_t>(*call, nullptr).arena.used();
}
size_t longscanDeltaRuleForwardWorkspaceBytes(const LongscanDeltaRule*) {
  return 0;
}
size_t longscanDeltaRuleSegmentsBytes(const LongscanDeltaRule* call) {
  return longscan::DeltaSegments(*call, nullptr).arena.used();
}
int longscanDeltaRulePrepare(const LongscanDeltaRule*, void*, CUstream_st*) {
  return 0;
}
int longscanDeltaRuleSummarize(const LongscanDeltaRule*, const LongscanDeltaRuleSummary*, CUstream_st*) {
  return 0;
}
int longscanDeltaRuleForward(const LongscanDeltaRule*, const LongscanDeltaRuleForward*, CUstream_st*) {
  return 0;
}

int longscanDplrTakes(const LongscanDplr*) {
  return 1;
}
size_t longscanDplrKeptBytes(const LongscanDplr* call) {
  return longscan::DplrKept<uint16_t>(*call, nullptr).arena.used();
}
int longscanDplrForward(const LongscanDplr*, const LongscanDplrForward*, CUstream_st*) {
  return 0;
}

size_t longscanDeltaGeneralBytes(const LongscanDeltaGeneral*, int) {
  return 16;
}
int longscanDeltaGeneralSummarize(const LongscanDeltaGeneral*, const LongscanDeltaGeneralSummary*,
                                  CUstream_st*) {
  return 0;
}

size_t longscanLtiScanWorkspaceBytes(const LongscanLtiScan*) {
  return 16;
}
size_t longscanLtiScanStatesBytes(const LongscanLtiScan* call) {
  const longscan::LtiPlan plan(*call);
  return sizeof(float) * call->B * plan.numSegments * plan.stateSize;
}
int longscanLtiScanForward(const LongscanLtiScan*, const LongscanLtiScanForward*, CUstream_st*) {
  return 0;
}
int longscanLtiScanSummarize(const LongscanLtiScan*, float*, float*, CUstream_st*) {
  return 0;
}
