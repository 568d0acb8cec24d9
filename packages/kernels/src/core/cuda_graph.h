#pragma once

#include <vector>

#include "cuda_driver.h"
#include "stream.h"

namespace longscan {

struct Block;

/// Work of a GPU's stream, recorded once and then launched as one piece, which costs the host one call.
/// `begin`, `end` and `launch` are called on the stream's thread, in this order.
class CudaGraph {
 public:
  explicit CudaGraph(Stream& stream);
  ~CudaGraph();
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  void begin();
  void end();
  void launch();

  Stream& stream() const { return stream_; }
  /// Memory that the work uses beyond what lives on; of the JavaScript thread.
  std::vector<Block*> memory;

 private:
  Stream& stream_;
  const CudaDriver& driver_;
  CUgraphExec_st* executable_ = nullptr;
};

}  // namespace longscan
