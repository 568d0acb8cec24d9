#include "../transport_collectives.h"

namespace longscan {

void TransportCollectives::exchange(const std::vector<Send>& sends, const std::vector<Receive>& receives) {
  std::vector<Request> requests;
  for (const Receive& receive : receives) {
    requests.push_back(transport_->irecv(receive.peer, receive.data, receive.bytes));
  }
  for (const Send& send : sends) requests.push_back(transport_->isend(send.peer, send.data, send.bytes));
  wait(requests);
}

}  // namespace longscan
