#pragma once

#include <memory>
#include <vector>

#include "cuda_driver.h"
#include "stream.h"

namespace longscan {

struct RecordedMemory;

/// Work of a GPU's stream, recorded once and then launched in one piece, or in several between which the host
/// puts other work; a piece costs the host one call. `begin` and `end`, which are called once for each piece,
/// and then `launch` are called on the stream's thread.
class CudaGraph {
 public:
  explicit CudaGraph(Stream& stream);
  ~CudaGraph();
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  void begin();
  void end();
  /// `piece` counts from 0.
  void launch(size_t piece);

  Stream& stream() const { return stream_; }
  /// Of the JavaScript thread.
  std::shared_ptr<RecordedMemory> memory;

 private:
  Stream& stream_;
  const CudaDriver& driver_;
  std::vector<CUgraphExec_st*> pieces_;
};

}  // namespace longscan
