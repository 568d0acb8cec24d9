#pragma once

#include <functional>
#include <memory>

#include "arrivals.h"

namespace longscan {

/// Somebody who has connected to the listener and has not proven anything yet. Reads what is there and never
/// blocks, so a silent or talkative stranger costs one descriptor until its deadline and nothing else.
class Guest {
 public:
  /// Finds who expects (axis, rank of the listener); null if nobody does yet.
  using Lookup = std::function<std::shared_ptr<Arrivals>(const std::string& axis, int rank)>;

  Guest(Fd fd, std::string remote);

  int fd() const { return fd_.get(); }
  Deadline deadline() const { return deadline_; }

  /// Goes on after its socket became readable; false when there is nothing more to do with it.
  bool advance(const Lookup& lookup);
  /// Goes on if it was waiting for a group that is now expected; false as above.
  bool retry(const Lookup& lookup);

 private:
  enum class State { hello, parked, proof };

  /// Reads towards `total` bytes of the current message; true once complete. Clears `alive` at the end of
  /// stream.
  bool fill(uint8_t* buffer, size_t total, bool& alive);
  bool admit(const Lookup& lookup);
  bool challenge();
  bool finish();
  bool sendAll(const void* data, size_t bytes);
  bool refuse(Verdict verdict);

  Fd fd_;
  const std::string remote_;
  Deadline deadline_;
  State state_ = State::hello;
  size_t filled_ = 0;
  HelloWire hello_;
  int dialer_ = -1;
  Digest nonce_{};
  Digest proof_{};
  std::shared_ptr<Arrivals> arrivals_;
};

}  // namespace longscan
