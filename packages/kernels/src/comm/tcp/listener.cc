#include "listener.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace longscan {

namespace {

/// Beyond this many unproven connections the oldest goes; a rank that is hit dials again.
constexpr size_t maxGuests = 512;
/// Pause when the process has no descriptor left for another connection.
constexpr auto acceptPause = std::chrono::milliseconds(50);

}  // namespace

TcpListener::TcpListener(const std::string& host) : socket_(listenOn(host, port_)) {
  thread_ = std::thread([this] { serve(); });
}

std::shared_ptr<Arrivals> TcpListener::expect(const GroupMember& self) {
  auto arrivals = std::make_shared<Arrivals>(self);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const std::string who = "axis \"" + self.axis + "\" rank " + std::to_string(self.rank);
    if (closing_) throw CommError("E-COMM-CONNECT", who + ": the listener was closed");
    expected_.remove_if([](const auto& entry) { return entry.expired(); });
    for (const auto& entry : expected_) {
      const auto other = entry.lock();
      if (other && other->self().axis == self.axis && other->self().rank == self.rank) {
        throw CommError("E-COMM-CONNECT", who + " is being connected already on this listener");
      }
    }
    expected_.push_back(arrivals);
  }
  changed_.raise();
  return arrivals;
}

std::shared_ptr<Arrivals> TcpListener::find(const std::string& axis, int rank) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& entry : expected_) {
    const auto arrivals = entry.lock();
    if (arrivals && arrivals->self().axis == axis && arrivals->self().rank == rank) return arrivals;
  }
  return nullptr;
}

void TcpListener::close() {
  closing_ = true;
  changed_.raise();
  std::call_once(joined_, [this] {
    thread_.join();
    guests_.clear();
    socket_.reset();
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& entry : expected_) {
      if (const auto arrivals = entry.lock()) arrivals->listenerClosed();
    }
  });
}

void TcpListener::serve() {
  const auto lookup = [this](const std::string& axis, int rank) { return find(axis, rank); };
  std::vector<pollfd> polled;
  while (!closing_) {
    Deadline wake = Clock::now() + std::chrono::hours(1);
    const bool accepting = Clock::now() >= acceptAgain_;
    if (!accepting) wake = acceptAgain_;
    polled = {{changed_.fd(), POLLIN, 0}, {socket_.get(), static_cast<short>(accepting ? POLLIN : 0), 0}};
    for (const Guest& guest : guests_) {
      polled.push_back({guest.fd(), POLLIN, 0});
      wake = std::min(wake, guest.deadline());
    }
    poll(polled.data(), polled.size(), millisecondsUntil(wake));

    size_t i = 2;
    for (auto guest = guests_.begin(); guest != guests_.end(); i++) {
      guest = polled[i].revents == 0 || guest->advance(lookup) ? std::next(guest) : guests_.erase(guest);
    }
    if (polled[0].revents != 0) {
      changed_.drain();
      guests_.remove_if([&](Guest& guest) { return !guest.retry(lookup); });
    }
    if (polled[1].revents != 0) acceptGuests();
    dropLate();
  }
}

void TcpListener::acceptGuests() {
  for (;;) {
    std::string remote;
    Fd fd = acceptFrom(socket_, remote);
    if (fd) {
      if (guests_.size() == maxGuests) guests_.pop_front();
      guests_.emplace_back(std::move(fd), std::move(remote));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      if (!guests_.empty()) guests_.pop_front();
      acceptAgain_ = Clock::now() + acceptPause;
      return;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

void TcpListener::dropLate() {
  const auto now = Clock::now();
  guests_.remove_if([&](const Guest& guest) { return guest.deadline() <= now; });
}

}  // namespace longscan
