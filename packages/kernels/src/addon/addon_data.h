#pragma once

#include <napi.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "../core/context.h"
#include "../core/cuda_graph.h"
#include "../core/stopwatch.h"
#include "../core/stream_trace.h"
#include "../core/tensor_table.h"

namespace longscan {

/// Native objects of one kind that JavaScript holds by number.
template <typename T>
class Handles {
 public:
  double add(std::shared_ptr<T> object) {
    objects_[next_] = std::move(object);
    return static_cast<double>(next_++);
  }
  std::shared_ptr<T> find(double id) const {
    const auto it = objects_.find(static_cast<uint64_t>(id));
    return it == objects_.end() ? nullptr : it->second;
  }
  void remove(double id) { objects_.erase(static_cast<uint64_t>(id)); }
  void clear() { objects_.clear(); }
  template <typename Condition>
  void removeIf(const Condition& condition) {
    for (auto it = objects_.begin(); it != objects_.end();) {
      it = condition(*it->second) ? objects_.erase(it) : std::next(it);
    }
  }

 private:
  uint64_t next_ = 1;
  std::unordered_map<uint64_t, std::shared_ptr<T>> objects_;
};

/// A closed gate holds the stream it was put on; for tests of asynchrony.
class Gate {
 public:
  void open();
  void pass();

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

/// A gate that JavaScript has not opened yet, and what keeps the allocator from waiting for it.
struct ClosedGate {
  std::shared_ptr<Gate> gate;
  std::shared_ptr<void> hold;
};

/// All state of the addon in one JavaScript environment (main thread or worker thread): nothing is static.
struct AddonData {
  explicit AddonData(Napi::Env env);
  ~AddonData();

  /// Resolves or rejects on the JavaScript thread once `stream` has done everything before this point, `work`
  /// (enqueued here) and `afterwards` included, whose Error rejects too. While such promises are pending the
  /// event loop stays alive.
  Napi::Promise settle(Napi::Env env, Stream& stream, std::function<void()> work, Napi::Value result,
                       std::function<void()> afterwards = nullptr);

  /// The number by which JavaScript knows a stream; 0: it is closed, or null.
  double streamId(const Stream* stream) const;

  TensorTable tensors;
  Handles<Context> contexts;
  Handles<ClosedGate> gates;
  Handles<Stopwatch> stopwatches;
  Handles<StreamTrace> traces;
  Handles<CudaGraph> graphs;
  /// Objects of other folders (communicators, listeners), by folder; destroyed before the contexts.
  std::unordered_map<std::string, std::shared_ptr<void>> extensions;
  std::unordered_map<uint64_t, Stream*> streams;
  uint64_t nextStream = 1;

 private:
  struct Settlement;
  static void deliver(Napi::Env env, Napi::Function, AddonData* data, Settlement* settlement);
  using Notifier = Napi::TypedThreadSafeFunction<AddonData, Settlement, &AddonData::deliver>;
  Notifier notifier_;
  size_t numPending_ = 0;
};

inline AddonData& addonData(Napi::Env env) {
  return *env.GetInstanceData<AddonData>();
}

}  // namespace longscan
