#pragma once

#include <cstddef>
#include <string>

namespace longscan {

class Stream;

/// Where an allocator's blocks come from. Called on the JavaScript thread.
class Memory {
 public:
  virtual ~Memory() = default;
  /// Null where there is not so much left.
  virtual void* map(size_t bytes) = 0;
  virtual void unmap(void* data, size_t bytes) = 0;
  /// Fills a block with NaN (every byte 0xff) in the order of the stream: at once where that is idle.
  virtual void poison(void* data, size_t bytes, Stream& stream) = 0;
  /// What is left of it and what would help, for the message of an allocation that failed.
  virtual std::string describeShortage() const = 0;
};

class HostMemory : public Memory {
 public:
  void* map(size_t bytes) override;
  void unmap(void* data, size_t bytes) override;
  void poison(void* data, size_t bytes, Stream& stream) override;
  std::string describeShortage() const override;
};

}  // namespace longscan
