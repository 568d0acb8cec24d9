#include "nccl_group_id.h"

#include <cstdlib>

#include "../../core/error.h"

namespace longscan {

namespace {
constexpr char digits[] = "0123456789abcdef";
}

NcclGroupId NcclGroupId::create(const Nccl& nccl) {
  NcclGroupId group;
  group.version = nccl.version;
  nccl.check(nccl.getUniqueId(&group.id), "ncclGetUniqueId");
  return group;
}

std::string NcclGroupId::toString() const {
  std::string text = std::to_string(version) + "-";
  for (const char c : id.internal) {
    const auto byte = static_cast<unsigned char>(c);
    text += digits[byte / 16];
    text += digits[byte % 16];
  }
  return text;
}

NcclGroupId NcclGroupId::parse(const std::string& text) {
  NcclGroupId group;
  const size_t dash = text.find('-');
  const std::string bytes = dash == std::string::npos ? "" : text.substr(dash + 1);
  group.version = std::atoi(text.c_str());
  if (group.version <= 0 || bytes.size() != 2 * sizeof(group.id.internal) ||
      bytes.find_first_not_of(digits) != std::string::npos) {
    throw Error("E-ARGUMENT", "not the id of an NCCL group: \"" + text.substr(0, 40) + "\"");
  }
  for (size_t i = 0; i < sizeof(group.id.internal); i++) {
    group.id.internal[i] = static_cast<char>(std::stoi(bytes.substr(2 * i, 2), nullptr, 16));
  }
  return group;
}

}  // namespace longscan
