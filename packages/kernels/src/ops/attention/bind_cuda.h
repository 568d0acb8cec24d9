#pragma once

#include "binding_common.h"

namespace longscan {

// The same calls on the stream of a GPU, their further arguments still to be read.
void attentionForwardOnGpu(Args& args, const AttentionArguments& common);
void attentionBackwardOnGpu(Args& args, const AttentionArguments& common);
void chunkEndsOnGpu(Args& args, const ChunkEndsArguments& ends);

}  // namespace longscan
