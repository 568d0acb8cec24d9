/** Bytes of parts of so many bytes each, as `WorkspaceParts` of cuda/workspace_parts.h hands them out. */
export function bytesOfParts(parts: readonly number[]): number {
  return parts.reduce((sum, bytes) => sum + 256 * Math.ceil(bytes / 256), 0);
}
