#include "general.h"

#include "gradient.h"
#include "rows.h"

namespace longscan {

namespace {

using Call = LongscanDeltaGeneral;

bool supported(const Call& call) {
  const bool erases = call.erase >= longscanDeltaEraseKey && call.erase <= longscanDeltaEraseDplr;
  const bool decays = call.decay >= longscanDeltaDecayNone && call.decay <= longscanDeltaDecayDiagonal;
  const bool reads = call.read == longscanDeltaReadKey || call.read == longscanDeltaReadValue;
  const bool types = call.type == longscanElementBf16 || call.type == longscanElementF32;
  return call.B > 0 && call.T > 0 && call.H > 0 && call.T < (int64_t{1} << 31) - 64 && call.K > 0 &&
         call.K <= 256 && call.V > 0 && call.V <= 512 && erases && decays && reads && types &&
         (call.decay == longscanDeltaDecayNone) == (call.g == nullptr) &&
         (call.erase == longscanDeltaEraseKey) == (call.b == nullptr) &&
         (call.erase == longscanDeltaEraseDplr) == (call.e != nullptr);
}

bool isF32(const Call& call) {
  return call.type == longscanElementF32;
}
bool readsKeys(const Call& call) {
  return call.read == longscanDeltaReadKey;
}
bool erasesApart(const Call& call) {
  return call.erase == longscanDeltaEraseDplr;
}

/// Numbers of a tensor [B, T, H, width].
int64_t sizeOf(const Call& call, int width) {
  return call.B * call.T * call.H * width;
}

DeltaShape shapeOf(const Call& call, DeltaRowCopies& copies) {
  DeltaShape shape{};
  shape.B = call.B, shape.T = call.T;
  shape.H = call.H, shape.K = call.K, shape.V = call.V;
  shape.erase = call.erase;
  shape.beta = call.beta;
  shape.scalarDecay = copies.takeScalarDecay();
  shape.decay = copies.takeDecay();
  shape.resets = call.resets;
  return shape;
}

/// Of the call's type: what tokens read of a state.
DeltaOutput readOutput(const Call& call, void* data, int width) {
  return {data, width, width, call.scale, !isF32(call)};
}

/// What the forward pass keeps, as rows: y = v - x, dplr: x.
DeltaRows keptRows(const Call& call, const float* kept) {
  return {kept, deltaPitch(call.V)};
}

/// Rows of values that sweeps write and read again, zeros behind them.
DeltaOutput rowsOutput(const DeltaRows& rows) {
  return {const_cast<float*>(rows.data), rows.pitch, rows.pitch};
}

/// The sweep with time, without results.
struct Values {
  WorkspaceParts arena;
  DeltaRowCopies copies;
  DeltaValuesCall sweep{};

  Values(const Call& call, const void* reads, void* workspace) : arena(workspace), copies(call, arena) {
    sweep.shape = shapeOf(call, copies);
    sweep.k = copies.take(call.k, call.K);
    sweep.b = copies.take(call.b, call.K);
    sweep.e = copies.take(call.e, call.K);
    sweep.v = copies.take(call.v, call.V);
    if (readsKeys(call)) sweep.q = copies.take(reads, call.K);
  }
};

/// And, where queries read values, what reads them.
struct Forward : Values {
  DeltaKeysCall keys{};

  Forward(const Call& call, void* workspace) : Values(call, call.q, workspace) {
    if (!readsKeys(call)) keys.reads = copies.take(call.q, call.V);
  }
};

/// The sweep against time, without results.
struct Adjoints {
  WorkspaceParts arena;
  DeltaRowCopies copies;
  DeltaValueAdjointsCall sweep{};

  Adjoints(const Call& call, const void* dO, void* workspace) : arena(workspace), copies(call, arena) {
    sweep.shape = shapeOf(call, copies);
    sweep.k = copies.take(call.k, call.K);
    sweep.b = copies.take(call.b, call.K);
    sweep.e = copies.take(call.e, call.K);
    sweep.keyReads = copies.take(readsKeys(call) ? call.q : dO, call.K);
    sweep.valueReads = copies.take(readsKeys(call) ? dO : call.q, call.V);
    sweep.scale = call.scale;
  }
};

/// And what all other gradients need. Of f32 inputs they begin in the gradients' own memory.
struct Backward : Adjoints {
  DeltaRows v, dx;
  float dxFactor = 1.0f;
  float *after = nullptr, *before, *dWrite, *dExtra = nullptr;
  float *states = nullptr, *meets = nullptr;

  Backward(const Call& call, const LongscanDeltaGeneralBackward& io, void* workspace)
      : Adjoints(call, io.dO, workspace) {
    const bool gated = call.decay != longscanDeltaDecayNone;
    // Queries that read values: their gradient is read by key, in a sweep like the forward one.
    if (erasesApart(call) || !readsKeys(call)) v = copies.take(call.v, call.V);
    if (isF32(call) && !erasesApart(call) && call.V % 4 == 0) {
      dx = {static_cast<const float*>(io.dv), call.V};
      dxFactor = -1.0f;
    } else {
      dx = {arena.take<float>(sizeOf(call, deltaPitch(call.V))), deltaPitch(call.V)};
      sweep.dx = rowsOutput(dx);
    }
    const auto begin = [&](void* gradient) {
      return isF32(call) && gradient ? static_cast<float*>(gradient)
                                     : arena.take<float>(sizeOf(call, call.K));
    };
    if (readsKeys(call))
      after = begin(io.dq);
    else if (gated)
      after = arena.take<float>(sizeOf(call, call.K));
    before = begin(call.erase == longscanDeltaEraseKey ? nullptr : io.db);
    dWrite = begin(io.dk);
    if (erasesApart(call)) dExtra = begin(io.de);
    if (!gated) return;
    states = arena.take<float>(deltaKeptNumbers(sweep.shape));
    meets = arena.take<float>(call.B * call.H * ((call.T + deltaGateTokens - 1) / deltaGateTokens) * call.K);
  }
};

cudaError_t forward(const Call& call, const LongscanDeltaGeneralForward& io, cudaStream_t stream) {
  Forward work(call, io.workspace);
  cudaError_t error = work.copies.launch(stream);
  if (error != cudaSuccess) return error;
  const DeltaRows kept = keptRows(call, io.kept);
  DeltaValuesCall& sweep = work.sweep;
  sweep.h0 = io.h0;
  sweep.ht = io.ht;
  sweep.kept = rowsOutput(kept);
  if (readsKeys(call)) sweep.o = readOutput(call, io.o, call.V);
  error = launchDeltaValues(sweep, stream);
  if (error != cudaSuccess || readsKeys(call)) return error;
  DeltaKeysCall& keys = work.keys;
  keys.shape = sweep.shape;
  keys.k = sweep.k;
  keys.e = sweep.e;
  keys.y = erasesApart(call) ? sweep.v : kept;
  if (erasesApart(call)) keys.x = kept;
  keys.h0 = io.h0;
  keys.outputs[0] = readOutput(call, io.o, call.K);
  return launchDeltaKeys(keys, stream);
}

/// The gradient of queries that read values.
cudaError_t valueQueryGradient(const Call& call, const LongscanDeltaGeneralBackward& io, const Backward& work,
                               cudaStream_t stream) {
  DeltaValuesCall sweep{};
  sweep.shape = work.sweep.shape;
  sweep.k = work.sweep.k;
  sweep.b = work.sweep.b;
  sweep.e = work.sweep.e;
  sweep.q = work.sweep.keyReads;
  sweep.v = work.v;
  sweep.h0 = io.h0;
  sweep.o = readOutput(call, io.dq, call.V);
  return launchDeltaValues(sweep, stream);
}

/// The sums over V: of the states with time, then of their adjoints against it.
cudaError_t keySweeps(const Call& call, const LongscanDeltaGeneralBackward& io, const Backward& work,
                      cudaStream_t stream) {
  const DeltaRows kept = keptRows(call, io.kept);
  DeltaKeysCall keys{};
  keys.shape = work.sweep.shape;
  keys.k = work.sweep.k;
  keys.e = work.sweep.e;
  keys.y = erasesApart(call) ? work.v : kept;
  if (erasesApart(call)) keys.x = kept;
  keys.reads = work.sweep.valueReads;
  keys.dx = work.dx;
  keys.dxFactor = work.dxFactor;
  keys.h0 = io.h0;
  if (work.after) keys.outputs[0] = {work.after, call.K, call.K, call.scale};
  keys.outputs[1] = {work.before, call.K, call.K};
  keys.kept = work.states;
  const cudaError_t error = launchDeltaKeys(keys, stream);
  if (error != cudaSuccess) return error;
  DeltaKeyAdjointsCall adjoints{};
  adjoints.shape = keys.shape;
  adjoints.k = keys.k;
  adjoints.b = work.sweep.b;
  adjoints.y = keys.y;
  adjoints.x = keys.x;
  adjoints.dx = keys.dx;
  adjoints.keyReads = work.sweep.keyReads;
  adjoints.valueReads = work.sweep.valueReads;
  adjoints.scale = call.scale;
  adjoints.dxFactor = work.dxFactor;
  adjoints.dht = io.dht;
  adjoints.outputs[0] = {work.dWrite, call.K, call.K};
  if (erasesApart(call)) adjoints.outputs[1] = {work.dExtra, call.K, call.K};
  adjoints.kept = work.states;
  adjoints.meets = work.meets;
  return launchDeltaKeyAdjoints(adjoints, stream);
}

cudaError_t gradients(const Call& call, const LongscanDeltaGeneralBackward& io, const Backward& work,
                      cudaStream_t stream) {
  const auto unfinished = [&](void* gradient) { return isF32(call) ? nullptr : gradient; };
  DeltaGeneralGradientCall gradient{};
  gradient.shape = work.sweep.shape;
  gradient.decay = call.decay;
  gradient.isBf16 = !isF32(call);
  gradient.k = work.sweep.k;
  gradient.b = work.sweep.b;
  gradient.e = work.sweep.e;
  gradient.keyReads = work.sweep.keyReads;
  gradient.after = work.after;
  gradient.before = work.before;
  gradient.dWrite = work.dWrite;
  gradient.dExtra = work.dExtra;
  gradient.meets = work.meets;
  gradient.dq = readsKeys(call) ? unfinished(io.dq) : nullptr;
  gradient.dk = io.dk;
  gradient.db = call.b ? unfinished(io.db) : nullptr;
  gradient.de = call.e ? unfinished(io.de) : nullptr;
  gradient.dbeta = call.beta ? io.dbeta : nullptr;
  gradient.dg = io.dg;
  return launchDeltaGeneralGradient(gradient, stream);
}

cudaError_t backward(const Call& call, const LongscanDeltaGeneralBackward& io, cudaStream_t stream) {
  Backward work(call, io, io.workspace);
  cudaError_t error = work.copies.launch(stream);
  if (error != cudaSuccess) return error;
  DeltaValueAdjointsCall& sweep = work.sweep;
  sweep.dht = io.dht;
  sweep.dh0 = io.dh0;
  sweep.dv = {io.dv, call.V, call.V, 1.0f, !isF32(call)};
  error = launchDeltaValueAdjoints(sweep, stream);
  if (error == cudaSuccess && !readsKeys(call)) error = valueQueryGradient(call, io, work, stream);
  if (error == cudaSuccess) error = keySweeps(call, io, work, stream);
  return error == cudaSuccess ? gradients(call, io, work, stream) : error;
}

cudaError_t summarize(const Call& call, const LongscanDeltaGeneralSummary& io, cudaStream_t stream) {
  Values work(call, nullptr, io.workspace);
  cudaError_t error = work.copies.launch(stream);
  if (error != cudaSuccess) return error;
  work.sweep.ht = io.state;
  work.sweep.factor = io.factor;
  error = launchDeltaValues(work.sweep, stream);
  if (error != cudaSuccess || io.reset == nullptr) return error;
  return launchDeltaReset(call.resets, call.B, call.T, io.reset, stream);
}

cudaError_t summarizeBackward(const Call& call, const LongscanDeltaGeneralSummaryBackward& io,
                              cudaStream_t stream) {
  Adjoints work(call, io.dO, io.workspace);
  const cudaError_t error = work.copies.launch(stream);
  if (error != cudaSuccess) return error;
  work.sweep.dh0 = io.adjoint;
  return launchDeltaValueAdjoints(work.sweep, stream);
}

/// Bytes; what is not known when they are counted stands for itself.
size_t bytesOf(const Call& call, int which) {
  float any;
  LongscanDeltaGeneralBackward gradients{};
  gradients.dO = gradients.dq = gradients.dk = gradients.dv = gradients.db = gradients.de = &any;
  // Never nothing: that is what an unsupported call needs.
  const auto some = [](size_t bytes) { return bytes > 0 ? bytes : size_t{256}; };
  switch (which) {
    case longscanDeltaGeneralKept:
      return static_cast<size_t>(sizeOf(call, deltaPitch(call.V))) * sizeof(float);
    case longscanDeltaGeneralForwardWorkspace:
      return some(Forward(call, nullptr).arena.used());
    case longscanDeltaGeneralBackwardWorkspace:
      return some(Backward(call, gradients, nullptr).arena.used());
    case longscanDeltaGeneralSummaryWorkspace:
      return some(Values(call, nullptr, nullptr).arena.used());
    case longscanDeltaGeneralSummaryBackwardWorkspace:
      return some(Adjoints(call, &any, nullptr).arena.used());
    default:
      return 0;
  }
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanDeltaGeneralBytes(const LongscanDeltaGeneral* call, int which) {
  return supported(*call) ? bytesOf(*call, which) : 0;
}

int longscanDeltaGeneralForward(const LongscanDeltaGeneral* call, const LongscanDeltaGeneralForward* io,
                                CUstream_st* stream) {
  return supported(*call) ? forward(*call, *io, stream) : cudaErrorInvalidValue;
}

int longscanDeltaGeneralBackward(const LongscanDeltaGeneral* call, const LongscanDeltaGeneralBackward* io,
                                 CUstream_st* stream) {
  return supported(*call) ? backward(*call, *io, stream) : cudaErrorInvalidValue;
}

int longscanDeltaGeneralSummarize(const LongscanDeltaGeneral* call, const LongscanDeltaGeneralSummary* io,
                                  CUstream_st* stream) {
  return supported(*call) ? summarize(*call, *io, stream) : cudaErrorInvalidValue;
}

int longscanDeltaGeneralSummarizeBackward(const LongscanDeltaGeneral* call,
                                          const LongscanDeltaGeneralSummaryBackward* io,
                                          CUstream_st* stream) {
  return supported(*call) ? summarizeBackward(*call, *io, stream) : cudaErrorInvalidValue;
}
