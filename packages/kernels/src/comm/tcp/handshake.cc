#include "handshake.h"

#include <cstring>
#include <vector>

namespace longscan {

namespace {

constexpr uint8_t magic[magicBytes] = {'l', 'n', 'g', 's', 'c', 'a', 'n', 0x1a};

class Writer {
 public:
  explicit Writer(uint8_t* out) : out_(out) {}
  void bytes(const void* data, size_t count) {
    std::memcpy(out_, data, count);
    out_ += count;
  }
  void integer(uint64_t value, size_t count) {
    for (size_t i = 0; i < count; i++) *out_++ = static_cast<uint8_t>(value >> (8 * i));
  }
  /// Zero-padded.
  void text(const std::string& text, size_t count) {
    std::memset(out_, 0, count);
    std::memcpy(out_, text.data(), std::min(text.size(), count));
    out_ += count;
  }

 private:
  uint8_t* out_;
};

class Reader {
 public:
  explicit Reader(const uint8_t* in) : in_(in) {}
  void bytes(void* data, size_t count) {
    std::memcpy(data, in_, count);
    in_ += count;
  }
  uint64_t integer(size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) value |= static_cast<uint64_t>(*in_++) << (8 * i);
    return value;
  }
  std::string text(size_t count) {
    const auto* begin = reinterpret_cast<const char*>(in_);
    in_ += count;
    return std::string(begin, strnlen(begin, count));
  }

 private:
  const uint8_t* in_;
};

}  // namespace

const char* verdictText(Verdict verdict) {
  switch (verdict) {
    case Verdict::accepted:
      return "accepted";
    case Verdict::wrongVersion:
      return "another protocol version";
    case Verdict::wrongJob:
      return "another job";
    case Verdict::staleEpoch:
      return "an epoch that is over";
    case Verdict::futureEpoch:
      return "an epoch that has not begun there";
    case Verdict::wrongSize:
      return "another group size";
    case Verdict::wrongRank:
      return "a rank that must not dial this one";
    case Verdict::wrongToken:
      return "wrong job token";
  }
  return "a verdict unknown to this version";
}

bool startsLikeHandshake(const uint8_t* data, size_t bytes) {
  return std::memcmp(data, magic, std::min(bytes, magicBytes)) == 0;
}

HelloWire encodeHello(const GroupMember& self, int listener, const Digest& nonce) {
  HelloWire wire;
  Writer writer(wire.data());
  writer.bytes(magic, magicBytes);
  writer.integer(protocolVersion, 4);
  writer.integer(self.epoch, 8);
  writer.integer(static_cast<uint64_t>(self.rank), 4);
  writer.integer(static_cast<uint64_t>(listener), 4);
  writer.integer(static_cast<uint64_t>(self.size), 4);
  writer.text(self.jobId, maxJobIdBytes);
  writer.text(self.axis, maxAxisBytes);
  writer.bytes(nonce.data(), nonce.size());
  return wire;
}

std::optional<Hello> decodeHello(const HelloWire& wire) {
  if (!startsLikeHandshake(wire.data(), wire.size())) return std::nullopt;
  Reader reader(wire.data() + magicBytes);
  Hello hello;
  hello.version = static_cast<uint32_t>(reader.integer(4));
  hello.epoch = reader.integer(8);
  hello.dialer = static_cast<int>(reader.integer(4));
  hello.listener = static_cast<int>(reader.integer(4));
  hello.size = static_cast<int>(reader.integer(4));
  hello.jobId = reader.text(maxJobIdBytes);
  hello.axis = reader.text(maxAxisBytes);
  return hello;
}

ReplyWire encodeReply(const Reply& reply) {
  ReplyWire wire;
  Writer writer(wire.data());
  writer.bytes(magic, magicBytes);
  writer.integer(reply.version, 4);
  writer.integer(static_cast<uint32_t>(reply.verdict), 4);
  writer.bytes(reply.nonce.data(), reply.nonce.size());
  writer.bytes(reply.proof.data(), reply.proof.size());
  return wire;
}

std::optional<Reply> decodeReply(const ReplyWire& wire) {
  if (!startsLikeHandshake(wire.data(), wire.size())) return std::nullopt;
  Reader reader(wire.data() + magicBytes);
  Reply reply;
  reply.version = static_cast<uint32_t>(reader.integer(4));
  reply.verdict = static_cast<Verdict>(reader.integer(4));
  reader.bytes(reply.nonce.data(), reply.nonce.size());
  reader.bytes(reply.proof.data(), reply.proof.size());
  return reply;
}

Digest proof(Role role, const std::string& token, const HelloWire& hello, const Digest& listenerNonce) {
  // Different first bytes for the two roles: a proof cannot be sent back as the other side's.
  std::vector<uint8_t> signedBytes(1 + hello.size() + listenerNonce.size());
  Writer writer(signedBytes.data());
  writer.integer(role == Role::dialer ? 'd' : 'l', 1);
  writer.bytes(hello.data(), hello.size());
  writer.bytes(listenerNonce.data(), listenerNonce.size());
  return hmacSha256(token, signedBytes.data(), signedBytes.size());
}

Verdict judge(const Hello& hello, const GroupMember& self) {
  if (hello.version != protocolVersion) return Verdict::wrongVersion;
  if (hello.jobId != self.jobId) return Verdict::wrongJob;
  if (hello.epoch < self.epoch) return Verdict::staleEpoch;
  if (hello.epoch > self.epoch) return Verdict::futureEpoch;
  if (hello.size != self.size) return Verdict::wrongSize;
  if (hello.dialer <= self.rank || hello.dialer >= self.size) return Verdict::wrongRank;
  return Verdict::accepted;
}

}  // namespace longscan
