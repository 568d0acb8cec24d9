#pragma once

#include "../chunkwise/cut.h"
#include "../cuda.h"
#include "../sweep/sweep.h"

namespace longscan {

/// What `kept` has of the chunks, whoever prepared them; all of them are there. After the forward pass N is
/// in U's place.
DeltaChunks deltaPreparedChunks(const LongscanDeltaRule& call, const void* kept);

/// Whether slices are summarized by chunks on this device.
bool deltaSummarizes();

/// What the segments do to a state, to `states` and `factors` as in DeltaSegments.
cudaError_t launchDeltaEffects(const LongscanDeltaRule& call, const DeltaChunks& chunks,
                               const DeltaSegments& segments, float* states, float* factors,
                               cudaStream_t stream);

cudaError_t launchDeltaSummary(const LongscanDeltaRule& call, const LongscanDeltaRuleSummary& io,
                               cudaStream_t stream);

}  // namespace longscan
