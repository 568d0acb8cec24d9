// Notes which kernels a process launches: a library that the CUDA driver loads where CUDA_INJECTION64_PATH
// names it. The names, one in a line, stand in LAUNCHED_KERNELS/PID when the process ends.

#include <cupti.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string>

namespace {

class Names {
 public:
  /// A process that is killed keeps what it has noted.
  void note(const char* name) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (file_ == nullptr || !seen_.insert(name).second) return;
    std::fprintf(file_, "%s\n", name);
    std::fflush(file_);
  }

 private:
  static FILE* open() {
    const char* folder = std::getenv("LAUNCHED_KERNELS");
    if (folder == nullptr) return nullptr;
    return std::fopen((std::string(folder) + "/" + std::to_string(getpid())).c_str(), "a");
  }

  FILE* const file_ = open();
  std::mutex mutex_;
  std::set<std::string> seen_;
};

void CUPTIAPI onCall(void* names, CUpti_CallbackDomain, CUpti_CallbackId, const void* data) {
  const auto& call = *static_cast<const CUpti_CallbackData*>(data);
  if (call.callbackSite == CUPTI_API_ENTER && call.symbolName != nullptr)
    static_cast<Names*>(names)->note(call.symbolName);
}

}  // namespace

extern "C" int InitializeInjection() {
  // Launches go on while the process ends: nothing takes it away.
  static Names* const names = new Names;
  CUpti_SubscriberHandle subscriber;
  if (cuptiSubscribe(&subscriber, onCall, names) != CUPTI_SUCCESS) return 0;
  for (const CUpti_CallbackId launch :
       {CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel, CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel_ptsz,
        CUPTI_DRIVER_TRACE_CBID_cuLaunchKernelEx, CUPTI_DRIVER_TRACE_CBID_cuLaunchKernelEx_ptsz,
        CUPTI_DRIVER_TRACE_CBID_cuLaunchCooperativeKernel,
        CUPTI_DRIVER_TRACE_CBID_cuLaunchCooperativeKernel_ptsz})
    cuptiEnableCallback(1, subscriber, CUPTI_CB_DOMAIN_DRIVER_API, launch);
  return 1;
}
