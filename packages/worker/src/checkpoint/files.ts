/** Raised when a reader of the old version would misread a new checkpoint, or call it damaged. Earlier ones are read as ever. */
export const formatVersion = 2;

export const manifestFile = 'manifest.json';
/** Its presence makes a folder a checkpoint. It holds the sha256 of the manifest, in hex. */
export const committedFile = 'COMMITTED';
export const parametersFile = 'parameters.safetensors';
export const optimizerFile = 'optimizer.safetensors';
