#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "hmac.h"

namespace longscan {

/// Who a rank is in one group of one job.
struct GroupMember {
  std::string jobId;
  std::string axis;   // names the group: `sp`, `dp`, `world`
  std::string token;  // the job's secret; never sent
  uint64_t
      epoch;  // a new one after every failure, so that connections of an earlier attempt are not mistaken
  int rank;
  int size;
};

/// The handshake, all integers little-endian, all messages of fixed size (README.md has the picture):
///
///   dialer -> listener   Hello   magic, version, epoch, ranks, size, job, axis, dialer's nonce
///   listener -> dialer   Reply   magic, version, verdict, listener's nonce, proof("listener")
///   dialer -> listener   proof("dialer")
///   listener -> dialer   verdict
///
/// proof(role) = HMAC-SHA256(token, role | Hello | listener's nonce). The Hello carries everything else that
/// must be agreed on, so both sides prove it together with the token.
constexpr uint32_t protocolVersion = 1;
constexpr size_t maxJobIdBytes = 64;
constexpr size_t maxAxisBytes = 32;
constexpr size_t minTokenBytes = 16;
constexpr size_t helloBytes = 8 + 4 + 8 + 4 + 4 + 4 + maxJobIdBytes + maxAxisBytes + 32;
constexpr size_t replyBytes = 8 + 4 + 4 + 32 + 32;
constexpr size_t magicBytes = 8;

using HelloWire = std::array<uint8_t, helloBytes>;
using ReplyWire = std::array<uint8_t, replyBytes>;

struct Hello {
  uint32_t version;
  uint64_t epoch;
  int dialer;
  int listener;  // rank
  int size;
  std::string jobId;
  std::string axis;
};

enum class Verdict : uint32_t {
  accepted = 0,
  wrongVersion = 1,
  wrongJob = 2,
  staleEpoch = 3,   // the dialer is behind
  futureEpoch = 4,  // the listener is behind: worth another try
  wrongSize = 5,
  wrongRank = 6,
  wrongToken = 7,
};

struct Reply {
  uint32_t version;
  Verdict verdict;
  Digest nonce;
  Digest proof;
};

const char* verdictText(Verdict verdict);

/// False as soon as the first bytes cannot be the beginning of a message of this protocol.
bool startsLikeHandshake(const uint8_t* data, size_t bytes);

HelloWire encodeHello(const GroupMember& self, int listener, const Digest& nonce);
std::optional<Hello> decodeHello(const HelloWire& wire);
ReplyWire encodeReply(const Reply& reply);
std::optional<Reply> decodeReply(const ReplyWire& wire);

enum class Role { dialer, listener };
Digest proof(Role role, const std::string& token, const HelloWire& hello, const Digest& listenerNonce);

/// What this listener says to a Hello, before any proof.
Verdict judge(const Hello& hello, const GroupMember& self);

}  // namespace longscan
