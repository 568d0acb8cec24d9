#include "../transport_collectives.h"

namespace longscan {

// Dissemination: after round i each rank has heard, directly or not, of the 2^(i+1) - 1 ranks before it.
void TransportCollectives::barrier() {
  const char sent = 0;
  char received = 0;
  for (int distance = 1; distance < size(); distance *= 2) {
    wait({transport_->irecv(neighbour(-distance), &received, 1),
          transport_->isend(neighbour(distance), &sent, 1)});
  }
}

}  // namespace longscan
