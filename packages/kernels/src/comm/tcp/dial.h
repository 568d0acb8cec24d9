#pragma once

#include "handshake.h"
#include "socket.h"

namespace longscan {

/// Connects to rank `listener` of the group at `address` and proves who we are. Tries again until the
/// deadline while that may help (nobody listens yet, the connection breaks, the other side is still in an
/// earlier epoch). Returns an empty Fd if interrupted. Throws E-COMM-CONNECT at the deadline or on a refusal,
/// E-AUTH if either side cannot prove that it has the job's token; both name the rank.
Fd dial(const Address& address, const GroupMember& self, int listener, const WakeUp& interrupt,
        Deadline deadline, const std::string& label);

}  // namespace longscan
