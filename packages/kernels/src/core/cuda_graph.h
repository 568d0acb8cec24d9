#pragma once

#include <functional>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "cuda_driver.h"
#include "recorded_memory.h"
#include "stream.h"

namespace longscan {

/// Work of a GPU's stream, recorded once and then launched as often as is wanted, together with what other
/// streams of the context do meanwhile and with who waits for whom. CUDA records the stream's own work, in
/// pieces: one ends wherever another stream waits for it or it for another one, and costs the host one call.
/// Work of other streams is kept as it was enqueued, and each launch enqueues it anew: so what ranks send
/// each other has its counters, its deadlines and its failures as without a graph. The host may put work of
/// its own between sections. All is called on the JavaScript thread.
class CudaGraph : public std::enable_shared_from_this<CudaGraph> {
 public:
  explicit CudaGraph(Stream& stream);
  ~CudaGraph();
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  /// From here to `end` all that is enqueued on streams of the context comes here.
  void begin();
  /// Begins another section.
  void split();
  void end();
  /// Launches the section, of `nextSection` or the first. Throws E-CUDA-GRAPH if memory that the work uses
  /// and that is not the graph's went from those who had it.
  void launch(size_t section);
  /// Sections count from 0 and are launched in their order; this one comes next.
  size_t nextSection() const { return nextSection_; }

  // While it is recorded: what streams are asked for. Points count all of it, and stand for tickets. Whoever
  // waits for a point of another recording, or for another device, is refused: E-CUDA-GRAPH.
  uint64_t enqueue(Stream& stream, const char* op, std::function<void()> task, const ShapeList& shapes);
  uint64_t record(Stream& stream);
  void wait(Stream& stream, Stream& other, uint64_t ticket);
  /// Whether a ticket is a point of some recording of some device.
  static bool isPoint(uint64_t ticket) { return ticket >= firstPoint; }

  Stream& stream() const { return stream_; }
  const std::shared_ptr<RecordedMemory>& memory() const { return memory_; }

 private:
  using Step = std::function<void()>;
  static constexpr uint64_t firstPoint = uint64_t{1} << 52;  // JavaScript's numbers hold it

  uint64_t addPoint() const;
  /// Whether a ticket is a point of this recording.
  bool hasPoint(uint64_t ticket) const;
  void add(Step step);
  /// Lets launches have the piece that is being recorded, if there is anything in it.
  void addPiece();
  /// The same, and begins another one.
  void endPiece();
  /// On the stream's thread, where its recording ends.
  void keepPiece();

  Stream& stream_;
  const CudaDriver& driver_;
  std::vector<std::vector<Step>> sections_;
  std::set<Stream*> others_;                        // whose work is recorded too
  uint64_t numPointsBefore_ = 0;                    // of other recordings
  std::unordered_map<uint64_t, uint64_t> tickets_;  // of the last launch, by point
  std::shared_ptr<RecordedMemory> memory_;          // null: it is still recorded
  size_t nextSection_ = 0;
  size_t numPieces_ = 0;
  bool pieceHasWork_ = false;
  std::vector<CUgraphExec_st*> pieces_;  // of the stream's thread
};

}  // namespace longscan
